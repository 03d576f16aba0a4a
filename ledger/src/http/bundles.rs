//! `/v1/bundles`: evidence bundles, by `GET` with a list or a search in the query, by `POST` with a JSON list of indexes.
//!
//! Guarantees: private parts of public realms only; what is answered was verified. A `POST` is a question that is too long for a query: it
//! changes nothing, so it needs no key, and no form of it can be forged from another page. At most [`AT_ONCE`] bundles are made at a time:
//! whoever comes then is told to come again. Does not: keep bundles; the same question under the same head has the same answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::{HttpRequest, HttpResponse, web};
use verifier::bundle::MEDIA_TYPE;
use verifier::decision::Outcome;

use super::Public;
use super::answer::{BUNDLE, fresh};
use super::problem::{Code, Problem};
use super::query::Query;
use crate::{BundleError, Choice, ChoiceError, Wanted};

/// Bundles that are made at a time, of 64 MiB each at most.
const AT_ONCE: usize = 2;
/// How long a list may take to arrive: as long as any body of the decision API.
const BODY_DEADLINE: Duration = Duration::from_secs(4);
/// Bytes of a list: 10,000 numbers of 20 digits with what stands between.
pub(super) const MAX_LIST: usize = 256 << 10;
/// What a list is.
const LIST: &str = "at most 10,000 numbers and ranges, `3,7,100-200`";

static MAKING: AtomicUsize = AtomicUsize::new(0);

/// The bundle of a list, `?indexes=3,7,100-200`, or of the decisions that a search finds: `?from=&to=&outcome=allow|deny&realm=&epoch=`,
/// indexes of the first and last record to look at. Under the newest head, or under that of `?size=`.
pub(super) async fn get(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["indexes", "from", "to", "outcome", "realm", "epoch", "size"])?;
    let choice = choice(&query)?;
    let bytes = make(public, choice, query.number("size")?).await?;
    let mut answer = fresh(&request, BUNDLE, bytes).await?;
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, header::HeaderValue::from_static(ATTACHED));
    Ok(answer)
}

/// The bundle of a JSON list of indexes.
pub(super) async fn post(
    request: HttpRequest,
    public: web::Data<Public>,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let size = Query::read(&request, &["size"])?.number("size")?;
    let malformed = || Problem::malformed("body", "a JSON list of at most 10,000 indexes");
    let body = timeout(BODY_DEADLINE, body.to_bytes_limited(MAX_LIST)).await;
    let body = body.map_err(|_| Problem::new(Code::BodyTimeout, "the list did not arrive in time"))?;
    let body = body.map_err(|_| malformed())?.map_err(|_| malformed())?;
    let indexes: Vec<u64> = serde_json::from_slice(&body).map_err(|_| malformed())?;
    let choice = Choice::of(indexes).map_err(|_| malformed())?;
    let bytes = make(public, choice, size).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, MEDIA_TYPE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_DISPOSITION, ATTACHED))
        .body(bytes))
}

/// The answer to other methods.
pub(super) async fn other_method() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::MethodNotAllowed, "only GET, HEAD and POST are answered here").allowing("GET, HEAD, POST"))
}

/// A browser saves it under this name.
const ATTACHED: &str = "attachment; filename=\"evidence.bundle\"";

fn choice(query: &Query<'_>) -> Result<Choice, Problem> {
    let search = ["from", "to", "outcome", "realm", "epoch"].iter().any(|name| query.given(name).is_some());
    match (query.text("indexes")?, search) {
        (Some(list), false) => Choice::list(&list).map_err(|error| match error {
            ChoiceError::List | ChoiceError::TooMany => Problem::malformed("indexes", LIST),
        }),
        (None, true) => {
            let outcome = match query.text("outcome")?.as_deref() {
                None => None,
                Some("allow") => Some(Outcome::Allow),
                Some("deny") => Some(Outcome::Deny),
                Some(_) => return Err(Problem::malformed("outcome", "`allow` or `deny`")),
            };
            // The manifest says it as one would ask for it.
            let plain = |c: char| c.is_ascii_graphic() && !"%+&=#".contains(c);
            let realm = query.text("realm")?.map(|realm| match realm.chars().all(plain) {
                true => Ok(realm),
                false => Err(Problem::malformed("realm", "a name that needs no escapes in a query")),
            });
            let (from, to) = (query.number("from")?.unwrap_or(0), query.number("to")?);
            Ok(Choice::Search { from, to, outcome, realm: realm.transpose()?, epoch: query.number("epoch")? })
        }
        _ => Err(Problem::new(
            Code::MissingParameter,
            "give either `indexes`, or what to search: `from`, `to`, `outcome`, `realm`, `epoch`",
        )),
    }
}

/// Makes a bundle off the threads that answer others.
async fn make(public: web::Data<Public>, choice: Choice, size: Option<u64>) -> Result<Vec<u8>, Problem> {
    let turn =
        Turn::take().ok_or_else(|| Problem::new(Code::Overloaded, "other bundles are being made: come again"))?;
    let made = web::block(move || {
        let _turn = turn;
        let reader = &public.reader;
        let head = match size {
            None => reader.head(),
            Some(size) => super::proofs::published_head(reader, size)?.into(),
        };
        let chosen = choice.find(reader, head.checkpoint.size)?;
        let epochs = (public.epochs)();
        let wanted = Wanted { chosen: &chosen, choice: &choice.words(), epochs: &epochs, undisclosed: false };
        Ok::<_, Problem>(reader.evidence_bundle(&wanted, &head)?)
    });
    made.await.map_err(|_| Problem::new(Code::Unavailable, "the bundle could not be made now"))?
}

/// One of the bundles that are made at a time.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        let more = |making: usize| (making < AT_ONCE).then_some(making + 1);
        MAKING.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok().then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        MAKING.fetch_sub(1, Ordering::AcqRel);
    }
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Nothing => Self::new(Code::NothingChosen, "no record is chosen"),
            BundleError::TooLarge => Self::new(Code::TooLarge, error.to_string()),
            BundleError::NoEpoch { .. } | BundleError::DoesNotHold { .. } => Self::new(
                Code::Damaged,
                "a bundle of these records would not verify: something that is stored is damaged",
            ),
            BundleError::Read(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn asked(query: &str) -> Option<Choice> {
        let request = TestRequest::with_uri(&format!("/v1/bundles?{query}")).to_http_request();
        choice(&Query::read(&request, &["indexes", "from", "to", "outcome", "realm", "epoch", "size"]).unwrap()).ok()
    }

    /// Forms and clients write a comma as `%2C`; a link on a page was refused for that.
    #[test]
    fn a_list_is_the_same_however_its_commas_are_written() {
        assert_eq!(asked("indexes=3%2C7-9"), Some(Choice::List(vec![3, 7, 8, 9])));
        assert_eq!(asked("indexes=3%2C7-9"), asked("indexes=3,7-9"));
        assert_eq!(asked("realm=m%61in"), asked("realm=main"));
        assert!(asked("realm=main").is_some());
    }

    #[test]
    fn a_choice_is_a_list_or_a_search_and_says_nothing_that_needs_escapes() {
        for none in ["", "indexes=", "indexes=3&from=1", "indexes=3,", "realm=a%26b", "realm=a+b", "outcome=maybe"] {
            assert_eq!(asked(none), None, "{none}");
        }
    }
}
