//! Why: connections are few, strangers are many. Each worker knows its connections, how long each may still take, and which of them it
//! closes first when a new one needs the place.
//!
//! Guarantees: from the end of one request to the beginning of the next at most [`NEXT_REQUEST`], whatever bytes come meanwhile; an answer
//! that is read more slowly than [`SLOWEST_READER`] is given up; connections without a valid key, with a service's and with an
//! administrator's are counted apart, so none of them can take the places of another kind. Where a kind has no place left, its connection
//! that has waited longest is closed for the new one.
//! Does not: time a request while its handler works (handlers have deadlines of their own); know what a request is, beside when it begins
//! and ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// From the end of a request to the beginning of the next: what an idle connection may wait, and what a head may take.
const NEXT_REQUEST: Duration = Duration::from_secs(8);
/// An answer may be read this much later than at the slowest rate: a reader may pause.
const READER_PAUSE: Duration = Duration::from_secs(5);
/// Bytes a second that a reader of answers must take on the whole: 2 Mbit/s. The largest answers, 16 MiB, are read in about a minute.
const SLOWEST_READER: u64 = 256 * 1024;
/// No deadline lies nearer than this when it is set, so looking so often is enough.
const LOOK: Duration = READER_PAUSE;

/// Whose connection it is, as far as a request on it has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// No valid key has been seen.
    Stranger,
    /// A service's key.
    Service,
    /// An administrator's key.
    Admin,
}

/// Connections of one worker, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Without a valid key so far.
    pub strangers: usize,
    /// Of services.
    pub services: usize,
    /// Of administrators.
    pub admins: usize,
}

impl Caps {
    fn of(&self, peer: Peer) -> usize {
        match peer {
            Peer::Stranger => self.strangers,
            Peer::Service => self.services,
            Peer::Admin => self.admins,
        }
    }

    /// All kinds.
    #[must_use]
    pub fn sum(&self) -> usize {
        self.strangers.saturating_add(self.services).saturating_add(self.admins)
    }
}

/// The open connections of one worker.
#[derive(Debug)]
pub struct Connections {
    caps: Caps,
    open: RefCell<BTreeMap<u64, Rc<Connection>>>,
    count: RefCell<Caps>,
    next: Cell<u64>,
}

/// One connection; in the data of each of its requests as `Rc<Connection>`.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    home: Rc<Connections>,
    peer: Cell<Peer>,
    answering: Cell<bool>,
    waits_since: Cell<Instant>,
    writing: Cell<Option<Writing>>,
    closing: Cell<bool>,
    close: Notify,
}

/// An answer that is not wholly with the operating system yet.
#[derive(Clone, Copy, Debug)]
struct Writing {
    since: Instant,
    bytes: u64,
}

/// Counts a connection for as long as it is served.
#[derive(Debug)]
pub struct Open(Rc<Connection>);

/// Marks that a handler works.
#[derive(Debug)]
pub struct Answering(Rc<Connection>);

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(caps: Caps) -> Rc<Self> {
        let count = RefCell::new(Caps { strangers: 0, services: 0, admins: 0 });
        Rc::new(Self { caps, open: RefCell::default(), count, next: Cell::new(0) })
    }

    /// A new connection, of a stranger. `None` where there is no place, and none that can be made.
    #[must_use]
    pub fn admit(self: &Rc<Self>) -> Option<Open> {
        if !self.make_place(Peer::Stranger) {
            return None;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let connection = Rc::new(Connection {
            number,
            home: self.clone(),
            peer: Cell::new(Peer::Stranger),
            answering: Cell::new(false),
            waits_since: Cell::new(Instant::now()),
            writing: Cell::new(None),
            closing: Cell::new(false),
            close: Notify::new(),
        });
        self.count(Peer::Stranger, 1);
        self.open.borrow_mut().insert(number, connection.clone());
        Some(Open(connection))
    }

    /// Whether one more of a kind has a place; where all are taken, the one that has waited longest for its next request is closed, or
    /// else the one whose answer has been under way longest.
    fn make_place(&self, peer: Peer) -> bool {
        if self.count.borrow().of(peer) < self.caps.of(peer) {
            return true;
        }
        let open = self.open.borrow();
        let idle = open.values().filter(|one| one.peer.get() == peer && !one.answering.get() && !one.closing.get());
        match idle.min_by_key(|one| (one.writing.get().is_some(), one.waits_since.get())) {
            Some(oldest) => {
                oldest.closing.set(true);
                oldest.close.notify_one();
                self.count(peer, -1);
                true
            }
            None => false,
        }
    }

    fn count(&self, peer: Peer, by: isize) {
        let mut count = self.count.borrow_mut();
        let place = match peer {
            Peer::Stranger => &mut count.strangers,
            Peer::Service => &mut count.services,
            Peer::Admin => &mut count.admins,
        };
        *place = place.saturating_add_signed(by);
    }
}

impl Connection {
    /// A valid key of this kind was seen. `false` where the kind has no place left; the connection stays what it was then.
    #[must_use]
    pub fn recognise(&self, peer: Peer) -> bool {
        let before = self.peer.get();
        if before == peer {
            return true;
        }
        // The request under way keeps this one from being closed for itself.
        if !self.home.make_place(peer) {
            return false;
        }
        if !self.closing.get() {
            self.home.count(before, -1);
            self.home.count(peer, 1);
        }
        self.peer.set(peer);
        true
    }

    /// No valid key has been seen on it.
    #[must_use]
    pub fn is_strangers(&self) -> bool {
        self.peer.get() == Peer::Stranger
    }

    /// A request begins.
    #[must_use]
    pub fn begin(self: &Rc<Self>) -> Answering {
        self.answering.set(true);
        Answering(self.clone())
    }

    fn deadline(&self) -> Option<Instant> {
        match self.writing.get() {
            Some(Writing { since, bytes }) => Some(since + READER_PAUSE + Duration::from_secs(bytes / SLOWEST_READER)),
            None if self.answering.get() => None,
            None => Some(self.waits_since.get() + NEXT_REQUEST),
        }
    }

    fn writes(&self, bytes: usize) {
        let now = self.writing.get().unwrap_or_else(|| Writing { since: Instant::now(), bytes: 0 });
        self.writing.set(Some(Writing { bytes: now.bytes.saturating_add(bytes as u64), ..now }));
    }

    fn written(&self) {
        if self.writing.take().is_some() {
            self.waits_since.set(Instant::now());
        }
    }
}

impl Open {
    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.0
    }

    /// Returns when the connection must be closed.
    pub async fn over(&self) {
        loop {
            let now = Instant::now();
            let deadline = self.0.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let look = now + LOOK;
            tokio::select! {
                () = self.0.close.notified() => return,
                () = sleep_until(deadline.map_or(look, |deadline| deadline.min(look))) => {}
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Connection { number, home, peer, closing, .. } = &*self.0;
        home.open.borrow_mut().remove(number);
        // One that was told to close has given up its place already.
        if !closing.get() {
            home.count(peer.get(), -1);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.set(false);
        self.0.waits_since.set(Instant::now());
    }
}

/// A socket that tells its connection what is written.
#[derive(Debug)]
pub struct Watched {
    io: TcpStream,
    connection: Rc<Connection>,
}

impl Watched {
    /// The socket of a connection.
    #[must_use]
    pub fn new(io: TcpStream, connection: Rc<Connection>) -> Self {
        Self { io, connection }
    }

    /// Whose socket it is.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.connection.writes(if let Poll::Ready(Ok(n)) = written { n } else { 0 });
        written
    }

    // The HTTP library flushes when all that it had was written, and only then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.connection.written();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { strangers: 2, services: 1, admins: 1 };

    fn told_to_close(open: &Open) -> bool {
        open.0.closing.get()
    }

    #[test]
    fn strangers_take_the_places_of_strangers_only() {
        let all = Connections::new(CAPS);
        let admin = all.admit().unwrap();
        assert!(admin.connection().recognise(Peer::Admin));
        let service = all.admit().unwrap();
        assert!(service.connection().recognise(Peer::Service));
        let mut strangers = Vec::new();
        for _ in 0..10 {
            strangers.push(all.admit().unwrap());
        }
        assert!(!told_to_close(&admin) && !told_to_close(&service));
        let kept: Vec<bool> = strangers.iter().map(|open| !told_to_close(open)).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), CAPS.strangers);
        assert_eq!(kept.get(8..).unwrap(), [true, true], "the oldest went");
        drop(strangers);
        assert_eq!(*all.count.borrow(), Caps { strangers: 0, services: 1, admins: 1 });
    }

    #[test]
    fn a_connection_whose_request_is_under_way_is_not_closed_for_another() {
        let all = Connections::new(CAPS);
        let one = all.admit().unwrap();
        let _working = one.connection().begin();
        let two = all.admit().unwrap();
        let working = two.connection().begin();
        assert!(all.admit().is_none());
        drop(working);
        let three = all.admit().unwrap();
        assert!(told_to_close(&two) && !told_to_close(&one) && !told_to_close(&three));
        let busy = three.connection().begin();
        assert!(three.connection().recognise(Peer::Service));
        assert!(!one.connection().recognise(Peer::Service), "the one place is taken, and busy");
        drop(busy);
        assert!(one.connection().recognise(Peer::Service));
        assert!(told_to_close(&three));
    }

    #[test]
    fn what_a_connection_waits_for_has_a_deadline_unless_it_is_our_answer() {
        let all = Connections::new(CAPS);
        let open = all.admit().unwrap();
        let connection = open.connection();
        let waits = connection.waits_since.get();
        assert_eq!(connection.deadline(), Some(waits + NEXT_REQUEST));
        let working = connection.begin();
        assert_eq!(connection.deadline(), None);
        // Two seconds' worth of bytes were taken, and then none.
        connection.writes(512 * 1024);
        connection.writes(0);
        let since = connection.writing.get().unwrap().since;
        assert_eq!(connection.deadline(), Some(since + READER_PAUSE + Duration::from_secs(2)));
        drop(working);
        assert_eq!(connection.deadline(), Some(since + READER_PAUSE + Duration::from_secs(2)), "until all is written");
        connection.written();
        assert_eq!(connection.deadline(), Some(connection.waits_since.get() + NEXT_REQUEST));
        assert!(connection.waits_since.get() >= waits);
    }
}
