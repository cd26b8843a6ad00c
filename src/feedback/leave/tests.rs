use MembershipStatus::{Subscribed, Unsubscribed};

use super::*;
use crate::contacts::Membership;

fn contact(lists: &[(i64, MembershipStatus)]) -> Contact {
    let since = Timestamp(0);
    let own = lists.iter().map(|(list, status)| Membership {
        list: ListId(*list),
        status: *status,
        since,
    });
    Contact {
        id: ContactId(5),
        email: "ann@a.test".to_owned(),
        name: String::new(),
        status: ContactStatus::Active,
        language: None,
        time_zone: None,
        fields: serde_json::Map::new(),
        created_at: since,
        updated_at: since,
        last_open_at: None,
        last_click_at: None,
        fared: Default::default(),
        heat: None,
        score: None,
        lists: own.collect(),
        tags: Vec::new(),
        sealed: Vec::new(),
    }
}

fn list(id: i64, visibility: ListVisibility) -> ListRow {
    ListRow {
        id: ListId(id),
        organization: OrganizationId::FIRST,
        name: format!("list {id}"),
        description: String::new(),
        visibility,
        opt_in: OptIn::Single,
        created_at: Timestamp(0),
    }
}

fn stream(id: i64) -> StreamRow {
    StreamRow {
        id: StreamId(id),
        organization: OrganizationId::FIRST,
        name: format!("stream {id}"),
        class: "marketing".to_owned(),
        held_at: None,
        held_reason: None,
    }
}

fn recipe(lists: &[i64]) -> RecipeRow {
    let lists = lists.iter().map(|id| ListId(*id)).collect();
    let audience = Audience { lists, ..Audience::default() };
    RecipeRow {
        campaign: CampaignId(3),
        organization: OrganizationId::FIRST,
        state: CampaignState::Sending,
        revision: 1,
        settings: CampaignSettings { audience, ..CampaignSettings::default() },
        variant: 0,
        pin: None,
        contact: None,
        memberships: Vec::new(),
        tags: Vec::new(),
    }
}

/// On the lists 1 and 2, off 3; 1 is private. Streams 2 and 9 hold marketing, 9 was left.
fn ann(recipe: Option<RecipeRow>) -> Person {
    Person {
        message: super::super::lesson::tests::message(),
        subject: super::super::lesson::tests::subject(9, "ann@a.test"),
        recipe,
        contact: Some(contact(&[(1, Subscribed), (2, Subscribed), (3, Unsubscribed)])),
        lists: vec![
            list(1, ListVisibility::Private),
            list(2, ListVisibility::Public),
            list(3, ListVisibility::Public),
        ],
        streams: vec![stream(4), stream(9)],
        left: vec![(StreamId(9), SuppressionId(77))],
    }
}

/// Lists left and joined, streams left, whether he is blocked.
fn told(person: &Person, wish: &Wish) -> (Vec<i64>, Vec<i64>, Vec<i64>, bool) {
    let change = change(person, wish);
    let of = |wanted: MembershipStatus| -> Vec<i64> {
        let own = change.memberships.iter().filter(|(_, status)| *status == wanted);
        own.map(|(list, _)| list.0).collect()
    };
    let streams = change.leaves.iter().map(|stream| stream.0).collect();
    (of(Unsubscribed), of(Subscribed), streams, change.blocks)
}

#[test]
fn leaving_reaches_as_far_as_was_asked() {
    let of_list = ann(Some(recipe(&[1])));
    assert_eq!(told(&of_list, &Wish::These), (vec![1], vec![], vec![], false));
    assert_eq!(told(&of_list, &Wish::Everything), (vec![1, 2], vec![], vec![4], true));
    let left_before = ann(Some(recipe(&[3])));
    assert_eq!(change(&left_before, &Wish::These), Change::default());
}

#[test]
fn mail_that_came_from_no_list_is_left_by_its_stream() {
    for person in [ann(None), ann(Some(recipe(&[]))), ann(Some(recipe(&[8])))] {
        assert_eq!(told(&person, &Wish::These), (vec![], vec![], vec![4], false));
    }
    let mut nobody = ann(None);
    nobody.contact = None;
    assert_eq!(told(&nobody, &Wish::Everything), (vec![], vec![], vec![4], false));
}

#[test]
fn a_choice_touches_what_was_offered_and_nothing_else() {
    let only = |lists: &[i64], streams: &[i64], offered: &[i64]| Wish::Only {
        lists: lists.iter().map(|id| ListId(*id)).collect(),
        streams: streams.iter().map(|id| StreamId(*id)).collect(),
        offered: offered.iter().map(|id| StreamId(*id)).collect(),
    };
    let person = ann(Some(recipe(&[1])));
    let expected = (vec![2], vec![3], vec![], false);
    assert_eq!(told(&person, &only(&[3], &[], &[])), expected, "private ones stay");
    assert_eq!(told(&person, &only(&[2], &[], &[4])), (vec![], vec![], vec![4], false));
    assert_eq!(told(&person, &only(&[2], &[], &[5])).2, [0; 0], "another's stream is none");
    let back = change(&person, &only(&[2], &[9], &[9]));
    assert_eq!(back.comes_back, [SuppressionId(77)]);
    assert!(!back.is_leaving());
}
