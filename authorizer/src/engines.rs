//! Why: an epoch's policies may be decided by a form of them that nobody has to trust; this is who decides, and who can say otherwise.
//!
//! Guarantees: where policies are compiled, plain Cedar of the same epoch stands beside them from the first decision on; once the compiled
//! form is mistrusted it decides nothing any more, at once and for as long as these engines live. Does not: find out; `double.rs` does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::engine::{Engine, PublishError, Published};

/// The engines of one epoch.
pub type Engines = Arc<EngineSet>;

/// One engine for each worker; a worker locks its own only, so nobody ever waits.
#[derive(Debug)]
pub struct EngineSet {
    each: Vec<Mutex<Engine>>,
    /// Where they are compiled: plain Cedar.
    plain: Option<Plain>,
}

/// Plain Cedar beside what is compiled.
#[derive(Debug)]
struct Plain {
    published: Arc<Published>,
    /// Whoever decides again has it, and everybody while there is none for each.
    one: Mutex<Engine>,
    /// One for each worker, made when it is needed; from the beginning where an action is critical.
    each: Vec<OnceLock<Mutex<Engine>>>,
    critical: bool,
    check_every: u32,
    mistrusted: AtomicBool,
}

/// What one worker decides by now.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// Its engine.
    pub engine: &'a Mutex<Engine>,
    /// Plain Cedar, where the engine is compiled and the epoch has critical actions. Locked after the engine.
    pub confirm: Option<&'a Mutex<Engine>>,
    /// Whether the engine is compiled.
    pub compiled: bool,
}

impl EngineSet {
    /// The engines of an epoch; plain Cedar whatever it says where what it compiles to is `mistrusted`.
    ///
    /// # Errors
    /// None in practice: publishing has built them before.
    pub fn of(published: &Arc<Published>, workers: usize, mistrusted: bool) -> Result<Engines, PublishError> {
        if mistrusted || !published.is_compiled() {
            return (0..workers)
                .map(|_| published.plain_replica().map(Mutex::new))
                .collect::<Result<_, _>>()
                .map(Arc::new);
        }
        let each = (0..workers).map(|_| published.replica()).collect::<Result<_, _>>()?;
        Self::beside(each, published)
    }

    /// Compiled engines, made by whoever calls, one for each worker; what is `published` is what plain Cedar decides.
    ///
    /// # Errors
    /// As [`EngineSet::of`].
    pub fn beside(each: Vec<Engine>, published: &Arc<Published>) -> Result<Engines, PublishError> {
        let critical = published.trust().is_critical(None);
        let plain = Plain {
            published: published.clone(),
            one: Mutex::new(published.plain_replica()?),
            each: each.iter().map(|_| OnceLock::new()).collect(),
            critical,
            check_every: published.trust().check_every(),
            mistrusted: AtomicBool::new(false),
        };
        if critical {
            while plain.make_one()? {}
        }
        Ok(Arc::new(Self { each: each.into_iter().map(Mutex::new).collect(), plain: Some(plain) }))
    }

    /// What a worker decides by now: looked at once for a body, so that all of it is decided alike.
    #[must_use]
    pub fn seat(&self, worker: usize) -> Option<Seat<'_>> {
        let engine = self.each.get(worker)?;
        let Some(plain) = &self.plain else { return Some(Seat { engine, confirm: None, compiled: false }) };
        if plain.mistrusted.load(Ordering::SeqCst) {
            return Some(Seat { engine: plain.of(worker), confirm: None, compiled: false });
        }
        Some(Seat { engine, confirm: plain.critical.then(|| plain.of(worker)), compiled: true })
    }

    /// A worker's engine, whichever it is.
    #[must_use]
    pub fn get(&self, worker: usize) -> Option<&Mutex<Engine>> {
        self.seat(worker).map(|seat| seat.engine)
    }

    /// The first worker's.
    #[must_use]
    pub fn first(&self) -> Option<&Mutex<Engine>> {
        self.get(0)
    }

    /// For how many workers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Plain Cedar for whoever decides again what the compiled form decided; `None` where nothing is compiled.
    #[must_use]
    pub fn second(&self) -> Option<&Mutex<Engine>> {
        self.plain.as_ref().map(|plain| &plain.one)
    }

    /// One of the compiled engines; `None` where nothing is compiled.
    #[must_use]
    pub fn compiled(&self) -> Option<&Mutex<Engine>> {
        self.plain.as_ref().and_then(|_| self.each.first())
    }

    /// One decision in so many is decided again.
    #[must_use]
    pub fn check_every(&self) -> u32 {
        self.plain.as_ref().map_or(u32::MAX, |plain| plain.check_every)
    }

    /// Whether the compiled form decides.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.plain.as_ref().is_some_and(|plain| !plain.mistrusted.load(Ordering::SeqCst))
    }

    /// Whether there is a compiled form that decides no more.
    #[must_use]
    pub fn is_mistrusted(&self) -> bool {
        self.plain.as_ref().is_some_and(|plain| plain.mistrusted.load(Ordering::SeqCst))
    }

    /// Plain Cedar decides from now on. There is no way back: the next epoch brings other engines.
    pub fn mistrust(&self) {
        if let Some(plain) = &self.plain {
            plain.mistrusted.store(true, Ordering::SeqCst);
        }
    }

    /// Makes plain Cedar for one more worker where the compiled form is mistrusted; says whether there may be more to make.
    pub(crate) fn make_one(&self) -> bool {
        // One that cannot be made leaves its worker with the one that all share.
        self.is_mistrusted() && self.plain.as_ref().is_some_and(|plain| plain.make_one().unwrap_or(false))
    }
}

impl Plain {
    fn of(&self, worker: usize) -> &Mutex<Engine> {
        self.each.get(worker).and_then(OnceLock::get).unwrap_or(&self.one)
    }

    fn make_one(&self) -> Result<bool, PublishError> {
        let Some(empty) = self.each.iter().find(|engine| engine.get().is_none()) else { return Ok(false) };
        // Who else makes one at the same time loses nothing.
        let _ = empty.set(Mutex::new(self.published.plain_replica()?));
        Ok(true)
    }
}

/// Engines of one kind, for whoever has no second one.
impl FromIterator<Mutex<Engine>> for EngineSet {
    fn from_iter<T: IntoIterator<Item = Mutex<Engine>>>(engines: T) -> Self {
        Self { each: engines.into_iter().collect(), plain: None }
    }
}
