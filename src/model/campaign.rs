//! Campaigns: their states, what is written in them, to whom and when they go.

use serde::{Deserialize, Serialize};

use super::contact::TemplateKind;
use super::ids::{CampaignId, ListId, MediaId, SavedSegmentId};
use super::state::words;
use super::time::Timestamp;

words! {
    CampaignState {
        Draft = "draft",
        /// Launched by itself when its time has come.
        Scheduled = "scheduled",
        /// The snapshot of its audience is being made.
        Preparing = "preparing",
        Sending = "sending",
        Paused = "paused",
        /// What was not sent by then is not sent.
        Cancelled = "cancelled",
        /// Everybody is in a final state.
        Sent = "sent",
    }
}

words! {
    CampaignStep {
        Schedule = "schedule",
        Unschedule = "unschedule",
        Launch = "launch",
        /// The snapshot is whole.
        Begin = "begin",
        Pause = "pause",
        Resume = "resume",
        Cancel = "cancel",
        /// Nothing is left to be sent.
        Finish = "finish",
        /// The snapshot could not be made.
        Withdraw = "withdraw",
    }
}

impl CampaignState {
    /// A pair that is missing here must not happen.
    pub const fn next(self, step: CampaignStep) -> Option<CampaignState> {
        use CampaignState::*;
        use CampaignStep as Step;
        Some(match (self, step) {
            (Draft, Step::Schedule) => Scheduled,
            (Scheduled, Step::Unschedule) => Draft,
            (Draft | Scheduled, Step::Launch) => Preparing,
            (Preparing, Step::Begin) => Sending,
            (Preparing, Step::Withdraw) => Draft,
            (Sending, Step::Pause) => Paused,
            (Paused, Step::Resume) => Sending,
            (Scheduled | Preparing | Sending | Paused, Step::Cancel) => Cancelled,
            (Sending, Step::Finish) => Sent,
            _ => return None,
        })
    }

    /// Its audience may still be chosen.
    pub const fn is_before_launch(self) -> bool {
        matches!(self, CampaignState::Draft | CampaignState::Scheduled)
    }

    /// Nothing of it can be changed any more.
    pub const fn is_over(self) -> bool {
        matches!(self, CampaignState::Cancelled | CampaignState::Sent)
    }
}

/// What is written, as one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignContent {
    /// The address in From; its domain is one of the organization's.
    pub from: String,
    #[serde(default)]
    pub from_name: String,
    #[serde(default)]
    pub reply_to: Option<String>,
    /// One, or those of an A/B test.
    pub variants: Vec<CampaignVariant>,
    /// Files that each mail carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<MediaId>,
    /// What templates name as `data.…`: the same for everybody.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// A whole mail: layouts and templates are copied into it, so that changing them does not change
/// what was launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignVariant {
    pub subject: String,
    pub kind: TemplateKind,
    pub body: String,
    #[serde(default)]
    pub layout: Option<String>,
    #[serde(default)]
    pub text: Option<String>,
    /// The same mail for those who read another language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub translations: Vec<CampaignTranslation>,
}

/// A mail instead of the variant's own, for contacts of this language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignTranslation {
    /// As in `de` or `pt-BR`.
    pub language: String,
    pub subject: String,
    pub kind: TemplateKind,
    pub body: String,
    #[serde(default)]
    pub layout: Option<String>,
    #[serde(default)]
    pub text: Option<String>,
}

impl CampaignTranslation {
    /// As a variant of its own.
    pub fn mail(&self) -> CampaignVariant {
        CampaignVariant {
            subject: self.subject.clone(),
            kind: self.kind,
            body: self.body.clone(),
            layout: self.layout.clone(),
            text: self.text.clone(),
            translations: Vec::new(),
        }
    }
}

impl CampaignVariant {
    /// The place of the translation for whoever reads this language: of the very same tag, else of
    /// the same language as it is spoken elsewhere (`pt` for `pt-BR`).
    pub fn translation_for(&self, language: Option<&str>) -> Option<usize> {
        let wanted = language?;
        let first = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let place = |is_it: &dyn Fn(&str) -> bool| {
            self.translations.iter().position(|one| is_it(&one.language))
        };
        place(&|tag| tag.eq_ignore_ascii_case(wanted))
            .or_else(|| place(&|tag| tag.eq_ignore_ascii_case(&first(wanted))))
            .or_else(|| place(&|tag| first(tag) == first(wanted)))
    }

    /// The mail for whoever reads this language.
    pub fn mail_for(&self, language: Option<&str>) -> CampaignVariant {
        match self.translation_for(language) {
            Some(place) => self.translations[place].mail(),
            None => CampaignVariant { translations: Vec::new(), ..self.clone() },
        }
    }

    /// All mails that somebody may get.
    pub fn mails(&self) -> Vec<CampaignVariant> {
        let own = CampaignVariant { translations: Vec::new(), ..self.clone() };
        std::iter::once(own)
            .chain(self.translations.iter().map(CampaignTranslation::mail))
            .collect()
    }
}

/// To whom, when, how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignSettings {
    pub audience: Audience,
    /// A scheduled campaign is launched at this moment.
    pub starts_at: Option<Timestamp>,
    /// What is not delivered by then expires.
    pub deadline: Option<Timestamp>,
    /// Only within these hours.
    pub window: Option<SendingWindow>,
    /// No faster than this.
    pub throttle: Option<Throttle>,
    /// Each contact gets it when its own clock shows what the clock of this zone shows at the
    /// start; contacts without a time zone are taken to live here.
    pub local_time: Option<String>,
    pub tracking: CampaignTracking,
    /// Anybody may read it on the public pages, once it is launched.
    pub archive: bool,
    pub test: Option<AbTest>,
    /// Who was there for so many days and has neither opened nor clicked in them is left out.
    #[schema(minimum = 30, maximum = 3650)]
    pub sunset_days: Option<u32>,
    /// Who was sent something by any campaign or automation within so many days before the launch
    /// is left out.
    #[schema(minimum = 1, maximum = 365)]
    pub rest_days: Option<u32>,
}

words! {
    /// To whom of its recipients a campaign is sent again.
    CampaignAgain {
        /// Who has not opened it, nor clicked.
        Unopened = "unopened",
        Unclicked = "unclicked",
    }
}

/// Contacts of any of these lists and segments, but for those excluded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audience {
    pub lists: Vec<ListId>,
    pub segments: Vec<SavedSegmentId>,
    /// A segment that is not saved.
    pub expression: Option<String>,
    pub exclude_lists: Vec<ListId>,
    pub exclude_segments: Vec<SavedSegmentId>,
    pub exclude_expression: Option<String>,
    /// Not who is subscribed to the list, but who was asked to confirm and has not: a mail with
    /// `{{ confirm_url }}`. It takes one list, which is public.
    pub unconfirmed: bool,
}

impl Audience {
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.segments.is_empty() && self.expression.is_none()
    }

    /// Those of the same audience who got that campaign and did not read it; who left meanwhile is
    /// left out as before.
    #[must_use]
    pub fn again(self, campaign: CampaignId, again: CampaignAgain) -> Audience {
        let id = campaign.0;
        let read = match again {
            // Who has clicked has it open.
            CampaignAgain::Unopened => format!("campaign {id} is opened"),
            CampaignAgain::Unclicked => format!("campaign {id} is clicked"),
        };
        let others = format!("(not campaign {id} is delivered or {read})");
        let exclude_expression = Some(match self.exclude_expression {
            Some(before) => format!("({before}) or {others}"),
            None => others,
        });
        Audience { exclude_expression, ..self }
    }
}

/// Hours of the day in a time zone: minutes from midnight. One that ends before it begins goes
/// over midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendingWindow {
    #[schema(maximum = 1439)]
    pub from_minute: u16,
    #[schema(maximum = 1440)]
    pub to_minute: u16,
    /// Such as Europe/Berlin.
    pub zone: String,
    /// 1 is Monday; empty: every day.
    #[serde(default)]
    pub days: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    #[schema(minimum = 1)]
    pub messages: u64,
    /// In so many seconds.
    #[schema(minimum = 1, maximum = 86400)]
    pub seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignTracking {
    pub opens: bool,
    pub clicks: bool,
    /// Opens and clicks are counted and belong to nobody: who has read is not kept.
    pub anonymous: bool,
    /// What links say to the site that they lead to.
    pub utm: Option<Utm>,
}

/// Parameters that are put to each link which has no `utm_source` of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Utm {
    pub source: String,
    #[serde(default)]
    pub medium: Option<String>,
    #[serde(default)]
    pub campaign: Option<String>,
}

impl Default for CampaignTracking {
    fn default() -> CampaignTracking {
        CampaignTracking { opens: true, clicks: true, anonymous: false, utm: None }
    }
}

/// Some of the audience get the variants in equal parts; the rest waits for a winner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbTest {
    /// Of the audience, in percent.
    #[schema(minimum = 1, maximum = 100)]
    pub sample_percent: u8,
    /// So many seconds after the launch the variant wins in which clearly more people clicked;
    /// empty: a person chooses.
    #[serde(default)]
    pub decide_after: Option<u64>,
    /// Mails of each variant that must be delivered by then.
    #[serde(default = "delivered_min")]
    pub delivered_min: u64,
    /// The variant that is taken when nobody wins, from 0; empty: the rest waits for a person.
    #[serde(default)]
    pub otherwise: Option<u64>,
}

const fn delivered_min() -> u64 {
    100
}

/// The mail that a host has or may have seen, so that another attempt sends the same and its source
/// can be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    pub revision: u64,
    pub variant: usize,
    /// When it was first made: its Date.
    pub at: Timestamp,
    /// Whom the template was filled with, as he was then; None for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PinnedPerson>,
    /// All values of the template, as earlier versions pinned them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<serde_json::Value>,
}

/// What a mail tells of its contact. It is kept for each mail of a campaign, so what can be made
/// again (links) or is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PinnedPerson {
    pub email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// Values of encrypted fields, as they are kept.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub sealed: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_goes_its_way_and_no_other() {
        use CampaignStep as Step;
        let mut state = CampaignState::Draft;
        for (step, then) in [
            (Step::Schedule, CampaignState::Scheduled),
            (Step::Launch, CampaignState::Preparing),
            (Step::Begin, CampaignState::Sending),
            (Step::Pause, CampaignState::Paused),
            (Step::Resume, CampaignState::Sending),
            (Step::Finish, CampaignState::Sent),
        ] {
            state = state.next(step).expect("a lawful step");
            assert_eq!(state, then);
        }
        for step in CampaignStep::ALL {
            assert_eq!(CampaignState::Sent.next(*step), None, "{step}: nothing follows the end");
            assert_eq!(CampaignState::Cancelled.next(*step), None, "{step}");
        }
        assert_eq!(CampaignState::Paused.next(Step::Finish), None);
        assert_eq!(CampaignState::Draft.next(Step::Cancel), None, "a draft is removed");
    }

    #[test]
    fn a_translation_is_for_whoever_reads_its_language() {
        let translation = |language: &str| {
            let own = serde_json::json!({"language": language, "subject": language,
                "kind": "html", "body": ""});
            serde_json::from_value::<CampaignTranslation>(own).expect("one")
        };
        let own = serde_json::json!({"subject": "own", "kind": "html", "body": ""});
        let mut variant: CampaignVariant = serde_json::from_value(own).expect("one");
        variant.translations = ["de-AT", "de", "pt-BR"].map(translation).to_vec();
        for (language, subject) in [
            (None, "own"),
            (Some("en"), "own"),
            (Some("DE-at"), "de-AT"),
            (Some("de-CH"), "de"),
            (Some("de"), "de"),
            (Some("pt"), "pt-BR"),
            (Some("pt-PT"), "pt-BR"),
            (Some(""), "own"),
        ] {
            assert_eq!(variant.mail_for(language).subject, subject, "{language:?}");
        }
        assert_eq!(variant.mails().len(), 4);
    }
}
