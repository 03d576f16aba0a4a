//! `/checkpoint`, `/tile/<L>/<N>[.p/<W>]` and `/tile/entries/<N>[.p/<W>]`: C2SP tlog-tiles, exactly.
//!
//! Guarantees: one spelling per path, and a tile or bundle only if all of it is published. Every partial width up to the published one is
//! served and stays served when the full tile exists, so the partial tiles of every checkpoint there ever was are there: a client never
//! needs to fall back to the full tile. (Others may drop partials; a reader of any log must be able to.) Bytes go out as they are unless
//! the client accepts a coding.

use actix_web::{HttpRequest, HttpResponse, web};
use verifier::tile::{FULL_WIDTH, Resource};

use super::Public;
use super::answer::{FOR_A_DAY, FOR_EVER, Immutable, OCTETS, TEXT, fresh};
use super::coding::Matter;
use super::dictionary::{chosen_by_dictionary, stored};
use super::problem::{Code, Problem};
use super::query::Query;

/// The newest head, a signed note.
pub(super) async fn checkpoint(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    fresh(&request, TEXT, public.reader.head().note.clone()).await
}

/// A tile or a bundle.
pub(super) async fn resource(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    let resource = Resource::parse(path)
        .map_err(|_| Problem::new(Code::UnknownPath, "not the path of a tile or of an entry bundle"))?;
    let reader = &public.reader;
    let size = reader.size();
    let exists = match resource {
        Resource::Tile(tile) => tile.exists_at(size),
        Resource::Bundle(bundle) => bundle.exists_at(size),
    };
    let missing = || Problem::new(Code::NotPublished, format!("not in the published log of size {size}"));
    if !exists {
        return Err(missing());
    }
    let (width, matter) = match resource {
        Resource::Tile(tile) => (tile.width, Matter::Dense),
        Resource::Bundle(bundle) => (bundle.width, Matter::Compressible),
    };
    if let Resource::Bundle(bundle) = resource
        && let Some(answer) = stored(&request, reader, &bundle)?
    {
        return Ok(answer);
    }
    let keep = if width == FULL_WIDTH { FOR_EVER } else { FOR_A_DAY };
    let read = || {
        let bytes = match resource {
            Resource::Tile(tile) => reader.tile(&tile)?,
            Resource::Bundle(bundle) => reader.bundle(&bundle)?,
        };
        bytes.ok_or_else(missing)
    };
    let answer = Immutable { keep, media_type: OCTETS, matter }.answer(&request, reader, read).await?;
    Ok(if matter == Matter::Compressible { chosen_by_dictionary(answer) } else { answer })
}
