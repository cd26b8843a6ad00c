//! The hosts that every domain of a scenario points to, unless its zone says otherwise.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use postroad::clock::Clock;
use postroad::world::dns::{Data, DnsServer, Says, Zones};
use postroad::world::manners::{Deed, Greylist, Manners, Phase, Rule, Whom};
use postroad::world::mx::{Host, Serves};
use postroad::world::sink::{Keep, Received};
use postroad::world::{HostPlan, World, WorldPlan};

pub const FIRST: &str = "mx1.test";
pub const SECOND: &str = "mx2.test";

/// Two hosts, `mx1.test` before `mx2.test`, that serve every domain there is, and their DNS.
pub struct FakeMx {
    world: World,
    clock: Clock,
}

impl FakeMx {
    pub async fn accepting() -> FakeMx {
        FakeMx::with(Manners::default()).await
    }

    pub async fn refusing(address: &str, reply: &str) -> FakeMx {
        let mx = FakeMx::accepting().await;
        mx.refuse(address, reply);
        mx
    }

    pub async fn greylisting(wait: Duration) -> FakeMx {
        let reply = format!("451 4.7.1 Greylisted, try again in {} seconds", wait.as_secs());
        let greylist = Some(Greylist { wait, reply });
        FakeMx::with(Manners { greylist, ..Manners::default() }).await
    }

    /// Both hosts behave so.
    pub async fn with(manners: Manners) -> FakeMx {
        let clock = Clock::standing(7);
        let plan = WorldPlan {
            hosts: vec![host(FIRST, 1, &manners), host(SECOND, 2, &manners)],
            zones: zones(),
            keep: Keep::Memory,
            mx_port: 0,
            dns_port: 0,
            clock: clock.clone(),
        };
        FakeMx { world: World::start(plan).await.expect("a world"), clock }
    }

    /// It stands until it is moved.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn first(&self) -> &Arc<Host> {
        self.world.host(FIRST).expect("is there")
    }

    pub fn second(&self) -> &Arc<Host> {
        self.world.host(SECOND).expect("is there")
    }

    pub fn dns(&self) -> &DnsServer {
        self.world.dns()
    }

    pub fn port(&self) -> u16 {
        self.world.mx_port()
    }

    /// A name says this from now on; the resolver may still remember what it said before.
    pub fn name(&self, name: &str, says: Says) {
        self.dns().change(|zones| zones.set(name, says));
    }

    /// Both hosts refuse the recipient.
    pub fn refuse(&self, address: &str, reply: &str) {
        let rule = Rule::mailbox(Whom::Address(address.to_owned()), reply);
        self.first().script(rule.clone());
        self.second().script(rule);
    }

    /// Both hosts do this at the phase, so many times each.
    pub fn script(&self, phase: Phase, deed: Deed, times: u32) {
        let rule = Rule::always(phase, deed).times(times);
        self.first().script(rule.clone());
        self.second().script(rule);
    }

    /// Both hosts do this at the phase, always.
    pub fn always(&self, phase: Phase, deed: Deed) {
        let rule = Rule::always(phase, deed);
        self.first().script(rule.clone());
        self.second().script(rule);
    }

    /// Recipients of all mail that was accepted, in order.
    pub fn received(&self) -> Vec<String> {
        let recipients = |mail: &Arc<Received>| mail.envelope.recipients.clone();
        self.world.received().iter().flat_map(recipients).collect()
    }

    pub fn mails(&self) -> Vec<Arc<Received>> {
        self.world.received()
    }

    /// From now on mailboxes with habits send something back to there.
    pub fn send_back_to(&self, address: std::net::SocketAddr) {
        self.world.send_back_to(address);
    }

    /// The only mail to this recipient.
    pub fn mail_to(&self, recipient: &str) -> Arc<Received> {
        let mut mails = self.mails();
        mails.retain(|mail| mail.envelope.recipients.iter().any(|own| own == recipient));
        assert_eq!(mails.len(), 1, "mails to {recipient}");
        mails.remove(0)
    }
}

/// Our own client never breaks SMTP, whatever a scenario is about.
impl Drop for FakeMx {
    fn drop(&mut self) {
        let faults = self.world.faults();
        assert!(std::thread::panicking() || faults.is_empty(), "broken SMTP: {faults:#?}");
    }
}

fn host(name: &str, number: u8, manners: &Manners) -> HostPlan {
    HostPlan {
        name: name.to_owned(),
        address: Ipv4Addr::new(127, 0, 9, number),
        serves: Serves::Anybody,
        manners: manners.clone(),
    }
}

fn zones() -> Zones {
    let mut zones = Zones::default();
    for (preference, name, number) in [(10, FIRST, 1), (20, SECOND, 2)] {
        zones.add(name, Data::Address(IpAddr::from([127, 0, 9, number])));
        zones.add("*", Data::Mx(preference, name.to_owned()));
    }
    zones
}
