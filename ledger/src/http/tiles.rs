//! `/checkpoint`, `/tile/<L>/<N>[.p/<W>]` and `/tile/entries/<N>[.p/<W>]`: C2SP tlog-tiles, exactly.
//!
//! Guarantees: one spelling per path, and a tile or bundle only if all of it is published. Every partial width up to the published one is
//! served, so the partial tiles of every checkpoint there ever was are there.

use actix_web::{HttpRequest, HttpResponse, web};
use verifier::tile::Resource;

use super::Public;
use super::answer::{OCTETS, TEXT, fresh, immutable};
use super::problem::{Code, Problem};
use super::query::Query;

/// The newest head, a signed note.
pub(super) async fn checkpoint(request: HttpRequest, public: web::Data<Public>) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    Ok(fresh(&request, TEXT, public.reader.head().note.clone()))
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
    immutable(&request, reader, OCTETS, || {
        let bytes = match resource {
            Resource::Tile(tile) => reader.tile(&tile)?,
            Resource::Bundle(bundle) => reader.bundle(&bundle)?,
        };
        bytes.ok_or_else(missing)
    })
}
