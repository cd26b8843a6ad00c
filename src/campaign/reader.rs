//! Who was it that opened or clicked: a person, a robot that looks into mail, or a proxy?
//!
//! Owns:       the signs by which they are told apart.
//! Promises:   the same requests are judged the same; what is not known to be a machine counts as a
//!             person.
//! Knows not:  where requests come from, what is counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::state::words;

words! {
    Reader {
        Person = "person",
        /// A filter or crawler: it fetches what nobody reads.
        Robot = "robot",
        /// A mail service that fetches images whether or not anybody looks.
        Proxy = "proxy",
    }
}

words! {
    /// What a person reads with.
    Device {
        Desktop = "desktop",
        Phone = "phone",
        Tablet = "tablet",
        /// A mail service fetched the images for him, and tells nothing.
        Unknown = "unknown",
    }
}

words! {
    /// The mail program or browser that a person reads with.
    Client {
        Gmail = "gmail",
        Yahoo = "yahoo",
        AppleMail = "apple_mail",
        Outlook = "outlook",
        Thunderbird = "thunderbird",
        Edge = "edge",
        Opera = "opera",
        SamsungInternet = "samsung_internet",
        Firefox = "firefox",
        Chrome = "chrome",
        Safari = "safari",
        Other = "other",
    }
}

words! {
    /// What a person's device runs.
    System {
        Windows = "windows",
        Macos = "macos",
        Ios = "ios",
        Android = "android",
        ChromeOs = "chrome_os",
        Linux = "linux",
        /// A mail service fetched the images for him, or the program does not tell.
        Unknown = "unknown",
    }
}

/// By what the program says of itself; the first of these whose word is in it, since most name
/// those that they are like, too.
pub fn client(agent: &str) -> Client {
    const SIGNS: [(&[&str], Client); 10] = [
        (&["googleimageproxy", "ggpht.com"], Client::Gmail),
        (&["yahoomailproxy"], Client::Yahoo),
        (&["thunderbird"], Client::Thunderbird),
        (&["outlook", "ms-office", "msoffice"], Client::Outlook),
        (&["edg/", "edga/", "edgios/"], Client::Edge),
        (&["opr/", "opera"], Client::Opera),
        (&["samsungbrowser/"], Client::SamsungInternet),
        (&["firefox/", "fxios/"], Client::Firefox),
        (&["chrome/", "crios/"], Client::Chrome),
        (&["safari/"], Client::Safari),
    ];
    let agent = agent.to_ascii_lowercase();
    let is_there = |(words, _): &&(&[&str], Client)| words.iter().any(|word| agent.contains(word));
    match SIGNS.iter().find(is_there) {
        Some((_, client)) => *client,
        // It shows mail by the same engine, and names no browser.
        None if agent.contains("applewebkit") && is_apple(&agent) => Client::AppleMail,
        None => Client::Other,
    }
}

fn is_apple(agent: &str) -> bool {
    ["macintosh", "iphone", "ipad"].iter().any(|word| agent.contains(word))
}

/// By what the program says of itself.
pub fn system(agent: &str) -> System {
    const SIGNS: [(&[&str], System); 6] = [
        (&["iphone", "ipad", "ipod"], System::Ios),
        (&["android", "silk/"], System::Android),
        (&["windows"], System::Windows),
        (&["macintosh"], System::Macos),
        (&["cros "], System::ChromeOs),
        (&["linux", "x11"], System::Linux),
    ];
    if is_behind_proxy(agent) {
        return System::Unknown;
    }
    let agent = agent.to_ascii_lowercase();
    let is_there = |(words, _): &&(&[&str], System)| words.iter().any(|word| agent.contains(word));
    SIGNS.iter().find(is_there).map_or(System::Unknown, |(_, system)| *system)
}

/// A mail service asks for him, from where it is itself.
pub fn is_behind_proxy(agent: &str) -> bool {
    let agent = agent.to_ascii_lowercase();
    PEOPLES_PROXIES.iter().any(|name| agent.contains(name))
}

/// By what the program says of itself.
pub fn device(agent: &str) -> Device {
    let agent = agent.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    if says(&PEOPLES_PROXIES) {
        Device::Unknown
    } else if says(&["ipad", "tablet", "kindle", "silk/"])
        || (says(&["android"]) && !says(&["mobile"]))
    {
        Device::Tablet
    } else if says(&["iphone", "ipod", "android", "mobile", "windows phone"]) {
        Device::Phone
    } else if says(&["windows", "macintosh", "x11", "linux", "cros"]) {
        Device::Desktop
    } else {
        Device::Unknown
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub is_click: bool,
    /// `HEAD` asks for what no browser would show.
    pub is_head: bool,
    pub agent: &'a str,
    /// Since a host took the mail; None when it is not known.
    pub since_delivery: Option<Duration>,
    /// Other links of the same mail that were followed within `BURST` of this.
    pub links_beside: usize,
    /// A machine has asked for the same mail, from the same network, at about the same time.
    pub machine_beside: bool,
}

/// A person does not read and click faster; a filter of a receiving host looks at once.
const CLICK_TOO_SOON: Duration = Duration::from_secs(4);
const OPEN_TOO_SOON: Duration = Duration::from_secs(1);
/// Links that are followed together, and how many make a machine.
pub const BURST: Duration = Duration::from_secs(3);
const BURST_LINKS: usize = 2;

/// Words in names of programs that are no mail readers, in lower case.
const ROBOTS: [&str; 38] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "curl/",
    "wget",
    "python",
    "java/",
    "go-http",
    "okhttp",
    "httpclient",
    "libwww",
    "headless",
    "phantomjs",
    "puppeteer",
    "playwright",
    "scan",
    "check",
    "monitor",
    "preview",
    "fetch",
    "barracuda",
    "mimecast",
    "proofpoint",
    "symantec",
    "trendmicro",
    "forcepoint",
    "fortinet",
    "sophos",
    "cloudmark",
    "safelinks",
    "urldefense",
    "zscaler",
    "virustotal",
    "facebookexternalhit",
    "whatsapp",
    "axios",
    "node-fetch",
];
/// They fetch an image when a person opens the mail, or because he did.
const PEOPLES_PROXIES: [&str; 3] = ["googleimageproxy", "ggpht.com", "yahoomailproxy"];

pub fn judge(request: &Request<'_>) -> Reader {
    let agent = request.agent.trim().to_ascii_lowercase();
    if request.is_head || agent.is_empty() {
        return Reader::Robot;
    }
    let is_too_soon = |limit: Duration| request.since_delivery.is_some_and(|since| since < limit);
    if !request.is_click && PEOPLES_PROXIES.iter().any(|name| agent.contains(name)) {
        return if is_too_soon(OPEN_TOO_SOON) { Reader::Robot } else { Reader::Person };
    }
    if ROBOTS.iter().any(|word| agent.contains(word)) {
        return Reader::Robot;
    }
    // Apple's privacy protection names nothing else; it loads everything, read or not.
    if agent == "mozilla/5.0" {
        return if request.is_click { Reader::Robot } else { Reader::Proxy };
    }
    let too_soon = if request.is_click { CLICK_TOO_SOON } else { OPEN_TOO_SOON };
    let is_burst = request.is_click && request.links_beside >= BURST_LINKS;
    match is_too_soon(too_soon) || is_burst || request.machine_beside {
        true => Reader::Robot,
        false => Reader::Person,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, \
        like Gecko) Chrome/131.0.0.0 Safari/537.36";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) \
        AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
    #[test]
    fn the_device_is_what_the_program_says() {
        let ipad = "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605 Mobile/15E148";
        let phone = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/131.0 Mobile Safari/537.36";
        let tablet = "Mozilla/5.0 (Linux; Android 13; SM-X710) Chrome/131.0 Safari/537.36";
        for (agent, expected) in [
            (CHROME, Device::Desktop),
            (IPHONE, Device::Phone),
            (phone, Device::Phone),
            (ipad, Device::Tablet),
            (tablet, Device::Tablet),
            (GMAIL, Device::Unknown),
            ("", Device::Unknown),
        ] {
            assert_eq!(device(agent), expected, "{agent}");
        }
    }

    #[test]
    fn program_and_system_are_what_the_program_says() {
        let mail = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, \
            like Gecko)";
        let edge = "Mozilla/5.0 (Windows NT 10.0) Chrome/131.0 Safari/537.36 Edg/131.0";
        let samsung = "Mozilla/5.0 (Linux; Android 14) SamsungBrowser/27.0 Chrome/125.0 Safari/537";
        for (agent, program, runs) in [
            (CHROME, Client::Chrome, System::Windows),
            (IPHONE, Client::AppleMail, System::Ios),
            (mail, Client::AppleMail, System::Macos),
            (GMAIL, Client::Gmail, System::Unknown),
            (THUNDERBIRD, Client::Thunderbird, System::Linux),
            (OUTLOOK, Client::Outlook, System::Unknown),
            (edge, Client::Edge, System::Windows),
            (samsung, Client::SamsungInternet, System::Android),
            ("", Client::Other, System::Unknown),
        ] {
            assert_eq!((client(agent), system(agent)), (program, runs), "{agent}");
        }
    }

    const GMAIL: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via \
        ggpht.com GoogleImageProxy)";
    const THUNDERBIRD: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 \
        Thunderbird/128.5.0";
    const OUTLOOK: &str = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)";

    /// Click, HEAD, agent, seconds since delivery, links beside; and who it was.
    type Case = (bool, bool, &'static str, Option<u64>, usize, Reader);

    /// Patterns as they were seen and described, each with what a person says of it.
    fn labelled() -> Vec<Case> {
        use Reader::{Person, Proxy, Robot};
        vec![
            (false, false, CHROME, Some(600), 0, Person),
            (false, false, CHROME, Some(20), 0, Person),
            (false, false, IPHONE, Some(45), 0, Person),
            (false, false, IPHONE, Some(90_000), 0, Person),
            (false, false, GMAIL, Some(30), 0, Person),
            (false, false, GMAIL, Some(7_200), 0, Person),
            (false, false, GMAIL, Some(2), 0, Person),
            (
                false,
                false,
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy",
                Some(300),
                0,
                Person,
            ),
            (false, false, THUNDERBIRD, Some(900), 0, Person),
            (false, false, OUTLOOK, Some(120), 0, Person),
            (false, false, OUTLOOK, None, 0, Person),
            (true, false, CHROME, Some(60), 0, Person),
            (true, false, CHROME, Some(12), 0, Person),
            (true, false, CHROME, Some(400), 1, Person),
            (true, false, IPHONE, Some(300), 0, Person),
            (true, false, IPHONE, Some(86_400), 1, Person),
            (true, false, THUNDERBIRD, Some(45), 0, Person),
            (true, false, CHROME, None, 0, Person),
            (
                true,
                false,
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.1 Safari/605.1.15",
                Some(33),
                0,
                Person,
            ),
            (
                true,
                false,
                "Mozilla/5.0 (Linux; Android 15) Chrome/131.0 Mobile Safari/537.36",
                Some(9),
                0,
                Person,
            ),
            (false, false, "Mozilla/5.0", Some(40), 0, Proxy),
            (false, false, "Mozilla/5.0", Some(10_000), 0, Proxy),
            (false, false, "Mozilla/5.0", None, 0, Proxy),
            (true, false, CHROME, Some(1), 0, Robot),
            (true, false, CHROME, Some(2), 6, Robot),
            (true, false, CHROME, Some(50), 7, Robot),
            (true, false, CHROME, Some(3_600), 4, Robot),
            (true, false, IPHONE, Some(90), 3, Robot),
            (true, true, CHROME, Some(500), 0, Robot),
            (false, true, CHROME, Some(500), 0, Robot),
            (true, false, "", Some(700), 0, Robot),
            (false, false, "", Some(700), 0, Robot),
            (true, false, "curl/8.5.0", Some(700), 0, Robot),
            (true, false, "python-requests/2.32", Some(700), 0, Robot),
            (true, false, "Go-http-client/2.0", Some(700), 0, Robot),
            (true, false, "Barracuda Sentinel (EE)", Some(5), 0, Robot),
            (true, false, "Mozilla/5.0 (compatible; bingbot/2.0)", Some(700), 0, Robot),
            (false, false, "Mozilla/5.0 (compatible; Googlebot/2.1)", Some(700), 0, Robot),
            (true, false, "Mozilla/5.0 HeadlessChrome/120.0", Some(70), 0, Robot),
            (true, false, "Slackbot-LinkExpanding 1.0", Some(70), 0, Robot),
            (true, false, "WhatsApp/2.24", Some(70), 0, Robot),
            (false, false, CHROME, Some(0), 0, Robot),
            (false, false, GMAIL, Some(0), 0, Robot),
            (true, false, "Mozilla/5.0", Some(30), 0, Robot),
        ]
    }

    #[test]
    fn people_are_told_from_machines_in_the_labelled_patterns() {
        let (mut hits, mut said, mut are) = (0u32, 0u32, 0u32);
        for (is_click, is_head, agent, seconds, links_beside, reader) in labelled() {
            let since_delivery = seconds.map(Duration::from_secs);
            let machine_beside = false;
            let request =
                Request { is_click, is_head, agent, since_delivery, links_beside, machine_beside };
            let judged = judge(&request);
            assert_eq!(judged, reader, "{request:?}");
            said += u32::from(judged == Reader::Person);
            are += u32::from(reader == Reader::Person);
            hits += u32::from(judged == Reader::Person && reader == Reader::Person);
        }
        let (precision, recall) =
            (f64::from(hits) / f64::from(said), f64::from(hits) / f64::from(are));
        assert!(precision >= 0.95 && recall >= 0.95, "{precision} {recall}");
    }

    #[test]
    fn what_comes_beside_a_machine_is_the_machines_but_for_peoples_proxies() {
        let judged = |is_click, agent| {
            let since_delivery = Some(Duration::from_secs(60));
            let links_beside = 0;
            judge(&Request {
                is_click,
                is_head: false,
                agent,
                since_delivery,
                links_beside,
                machine_beside: true,
            })
        };
        assert_eq!(judged(true, CHROME), Reader::Robot);
        assert_eq!(judged(false, CHROME), Reader::Robot);
        assert_eq!(judged(false, GMAIL), Reader::Person);
        assert_eq!(judged(false, "Mozilla/5.0"), Reader::Proxy);
    }
}
