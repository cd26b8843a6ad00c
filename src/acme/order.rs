//! One certificate: account, order, the authority's question, the answer, chain and key.
//!
//! Owns:       the account; how an order goes; the look whether a host leads here.
//! Promises:   each order has an end within `ORDER_WAIT`; an account is made once for a directory
//!             and kept; one that the authority knows no more is made anew.
//! Knows not:  when a certificate is due, where it is used.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::BodyExt;
use hyper::{Request, Response};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};

use super::AcmeOptions;
use super::questions::{PATH, Questions};
use crate::clock::Clock;
use crate::fetch::{Answer, Call, Fetcher, Method, Url};
use crate::model::{Domain, HostLook, Timestamp};
use crate::token::file;

const ORDER_WAIT: Duration = Duration::from_secs(180);
const POLL_WAIT: Duration = Duration::from_secs(60);
const LOOK_WAIT: Duration = Duration::from_secs(10);
/// A chain of certificates, or a problem.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Its own words are in it where the authority has refused.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    #[error("the authority asks nothing that can be answered over HTTP")]
    NoQuestion,
    #[error("the authority says that the order is {0}")]
    Refused(String),
    #[error("it did not come to an end within {} s", ORDER_WAIT.as_secs())]
    TooSlow,
    #[error("what the authority gave is no certificate")]
    Unreadable,
    #[error("what the authority gave is over since {0}")]
    Over(Timestamp),
    #[error("no authority is named")]
    NoAuthority,
    #[error("it does not lie within a verified sending domain of the organization any more")]
    NotVerified,
    #[error("it does not lead here: {0}")]
    Elsewhere(String),
    #[error("{0} orders were made within a day, and more are not")]
    TooMany(u64),
    #[error("a file cannot be read or written: {0}")]
    File(std::io::Error),
    #[error("the account's file cannot be read: {0}")]
    Credentials(serde_json::Error),
}

impl AcmeError {
    /// False where it failed before the authority heard of it.
    pub fn was_asked(&self) -> bool {
        !matches!(self, AcmeError::NotVerified | AcmeError::Elsewhere(_) | AcmeError::NoAuthority)
    }

    /// The authority has forgotten us (RFC 8555 §6.7), as those for trials do.
    fn is_unknown_account(&self) -> bool {
        let AcmeError::Authority(instant_acme::Error::Api(problem)) = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

pub(super) struct Authority {
    fetcher: Fetcher,
    questions: Questions,
    options: AcmeOptions,
    /// Of the account at this directory.
    file: PathBuf,
    account: Option<Account>,
    clock: Clock,
}

impl Authority {
    pub fn new(
        fetcher: Fetcher,
        questions: Questions,
        options: AcmeOptions,
        clock: Clock,
    ) -> Authority {
        // Another directory is another account: what an authority for trials gave is not taken to
        // the real one.
        let name = digest(&SHA256, options.directory_url.as_bytes());
        let name: String = name.as_ref().iter().take(8).map(|one| format!("{one:02x}")).collect();
        let file = options.folder.join(format!("account-{name}.json"));
        Authority { fetcher, questions, options, file, account: None, clock }
    }

    /// Asks the host as the authority will: a name that leads elsewhere, or nowhere yet, is not
    /// worth an order.
    pub async fn leads_here(&self, host: &Domain) -> Result<(), AcmeError> {
        if self.options.look == HostLook::Never {
            return Ok(());
        }
        let dice = || (self.clock.dice() * 1e15).to_string();
        let (token, answer) = (format!("look-{}", dice()), dice());
        self.questions.answer(token.clone(), answer.clone());
        let found = self.answer_of(host, &token).await;
        self.questions.forget();
        let told = match found {
            Err(why) => why,
            Ok(found) if found.status == 200 && found.body == answer.as_bytes() => return Ok(()),
            Ok(found) => format!("at {} somebody else answers ({})", found.address, found.status),
        };
        Err(AcmeError::Elsewhere(told))
    }

    async fn answer_of(&self, host: &Domain, token: &str) -> Result<Answer, String> {
        let port = match self.options.port {
            80 => String::new(),
            port => format!(":{port}"),
        };
        let url = Url::parse(&format!("http://{host}{port}{PATH}{token}"));
        let mut call = Call::get(url.map_err(|error| error.to_string())?);
        call.wait = LOOK_WAIT;
        self.fetcher.call(&call).await.map_err(|error| error.to_string())
    }

    /// Chain and key in PEM.
    pub async fn certificate(&mut self, host: &Domain) -> Result<String, AcmeError> {
        let ordered = tokio::time::timeout(ORDER_WAIT, self.ordered(host)).await;
        self.questions.forget();
        let ordered = ordered.map_err(|_| AcmeError::TooSlow).flatten();
        if let Err(error) = &ordered {
            // Its directory is read again next time: it may have moved.
            self.account = None;
            if error.is_unknown_account() {
                std::fs::remove_file(&self.file).map_err(AcmeError::File)?;
            }
        }
        ordered
    }

    async fn ordered(&mut self, host: &Domain) -> Result<String, AcmeError> {
        let account = self.account().await?;
        let names = [Identifier::Dns(host.to_string())];
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let asked = authorization.challenge(ChallengeType::Http01);
            let mut asked = asked.ok_or(AcmeError::NoQuestion)?;
            let answer = asked.key_authorization().as_str().to_owned();
            self.questions.answer(asked.token.clone(), answer);
            asked.set_ready().await?;
        }
        let patience = RetryPolicy::new().timeout(POLL_WAIT);
        let status = order.poll_ready(&patience).await?;
        if status != OrderStatus::Ready {
            let why = refused(&mut order).await.unwrap_or_else(|| format!("{status:?}"));
            return Err(AcmeError::Refused(why));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience).await?;
        Ok(format!("{}\n{key}", chain.trim_end()))
    }

    async fn account(&mut self) -> Result<Account, AcmeError> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let builder = Account::builder_with_http(Box::new(Through(self.fetcher.clone())));
        let account = match file::read(&self.file) {
            Ok(text) => {
                let known: AccountCredentials =
                    serde_json::from_str(&text).map_err(AcmeError::Credentials)?;
                builder.from_credentials(known).await?
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                let contact: Vec<&str> = self.options.contact.iter().map(String::as_str).collect();
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let directory = self.options.directory_url.clone();
                let binding = self.options.binding.as_ref();
                let bound = binding.map(|to| ExternalAccountKey::new(to.id.clone(), &to.key));
                let (account, known) = builder.create(&new, directory, bound.as_ref()).await?;
                let text = serde_json::to_string(&known).map_err(AcmeError::Credentials)?;
                file::write(&self.file, &text).map_err(AcmeError::File)?;
                account
            }
            Err(why) => return Err(AcmeError::File(why)),
        };
        self.account = Some(account.clone());
        Ok(account)
    }
}

/// What the authority has found wrong, in its own words.
async fn refused(order: &mut instant_acme::Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let mut problems = authorization.challenges.iter().filter_map(|one| one.error.as_ref());
        if let Some(problem) = problems.next_back() {
            return Some(problem.to_string());
        }
    }
    None
}

/// The authority is called like everybody outside: by the client that refuses private addresses.
struct Through(Fetcher);

impl HttpClient for Through {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let fetcher = self.0.clone();
        Box::pin(async move {
            let other =
                |why: Box<dyn std::error::Error + Send + Sync>| instant_acme::Error::Other(why);
            let (head, body) = request.into_parts();
            let url = Url::parse(&head.uri.to_string()).map_err(|why| other(why.into()))?;
            let body = body.collect().await.map_err(|why| other(why.into()))?.to_bytes();
            let mut call = Call::post(url, "", body);
            call.method = match head.method.as_str() {
                "POST" => Method::Post,
                "HEAD" => Method::Head,
                _ => Method::Get,
            };
            let text = |name: &hyper::header::HeaderName| {
                let value = head.headers.get(name)?.to_str().ok()?;
                Some((name.to_string(), value.to_owned()))
            };
            call.headers = head.headers.keys().filter_map(text).collect();
            call.answer_bytes_max = ANSWER_BYTES_MAX;
            let answer = fetcher.call(&call).await.map_err(|why| other(why.into()))?;
            let mut response = Response::builder().status(answer.status);
            for (name, value) in &answer.headers {
                response = response.header(name, value);
            }
            let response = response.body(BodyWrapper::from(answer.body.to_vec()));
            Ok(BytesResponse::from(response.map_err(|why| other(why.into()))?))
        })
    }
}
