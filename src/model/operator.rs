//! What operators are called: by rules, and by people.
//!
//! Owns:       the names that rules use, and what else the same operator is called.
//! Promises:   a name leads to one operator.
//! Knows not:  by which hosts one is known; the table of `dns` says that.

/// Who runs hosts of recipients, with other names that people use for them.
#[rustfmt::skip]
pub const OPERATORS: [(&str, &[&str]); 68] = [
    ("google", &["gmail", "google_workspace", "gsuite", "googlemail"]),
    ("microsoft", &[
        "outlook", "hotmail", "live", "microsoft_consumer", "outlook.com", "microsoft365",
        "microsoft_365", "office365", "o365", "exchange_online", "m365",
    ]),
    ("yahoo", &["yahoo_japan", "ymail", "rocketmail", "sky"]),
    ("aol", &["aim", "netscape", "compuserve"]),
    ("apple", &["icloud", "mac", "me", "apple_icloud"]),
    ("gmx", &[
        "mail_com", "webde", "web.de", "1und1", "1and1", "ionos", "mail.com", "united_internet",
    ]),
    ("tonline", &["t-online", "t_online", "telekom"]),
    ("freenet", &[]),
    ("orange", &["wanadoo"]),
    ("free", &["free_fr", "free.fr", "proxad"]),
    ("sfr", &["neuf"]),
    ("laposte", &["la_poste"]),
    ("bouygues", &["bbox"]),
    ("comcast", &["xfinity"]),
    ("cox", &[]),
    ("charter", &["spectrum", "roadrunner", "twc", "rr"]),
    ("att", &["at&t", "bellsouth", "sbcglobal"]),
    ("verizon", &[]),
    ("earthlink", &[]),
    ("centurylink", &["lumen", "qwest"]),
    ("windstream", &[]),
    ("rogers", &[]),
    ("bell", &["bell_canada", "sympatico"]),
    ("telus", &[]),
    ("shaw", &[]),
    ("bt", &["btinternet"]),
    ("virgin", &["virginmedia"]),
    ("talktalk", &[]),
    ("ziggo", &["upc"]),
    ("kpn", &["xs4all"]),
    ("telenet", &[]),
    ("proximus", &["skynet", "belgacom"]),
    ("libero", &["italiaonline", "iol", "virgilio"]),
    ("tiscali", &[]),
    ("aruba", &[]),
    ("alice", &["tim", "telecom_italia"]),
    ("seznam", &[]),
    ("onet", &[]),
    ("wp", &["wirtualna_polska", "o2pl", "o2"]),
    ("interia", &[]),
    ("mailru", &["mail_ru", "mail.ru", "vk"]),
    ("yandex", &[]),
    ("rambler", &[]),
    ("qq", &["tencent", "exmail"]),
    ("netease", &["163", "126", "yeah"]),
    ("sina", &[]),
    ("sohu", &[]),
    ("aliyun", &["alibaba"]),
    ("naver", &[]),
    ("daum", &["kakao", "hanmail"]),
    ("docomo", &[]),
    ("au", &["au_kddi", "kddi", "ezweb"]),
    ("softbank", &[]),
    ("uol", &["bol"]),
    ("terra", &[]),
    ("rackspace", &["emailsrvr"]),
    ("godaddy", &["secureserver"]),
    ("proofpoint", &["proofpoint_essentials", "pphosted", "ppe"]),
    ("mimecast", &[]),
    ("barracuda", &[]),
    ("ironport", &["cisco", "cisco_ironport"]),
    ("trendmicro", &["trend", "trend_micro"]),
    ("messagelabs", &["message_labs", "symantec", "broadcom"]),
    ("sophos", &["reflexion"]),
    ("hornet", &["hornetsecurity", "antispameurope"]),
    ("zoho", &[]),
    ("fastmail", &["messagingengine"]),
    ("proton", &["protonmail"]),
];

/// The name that rules use for an operator, whatever people call it.
pub fn operator_named(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let undashed = |other: &str| other.replace('-', "_") == name;
    OPERATORS
        .iter()
        .find(|(own, others)| *own == name || others.iter().any(|other| undashed(other)))
        .map(|(own, _)| *own)
}
