//! A world as a test sees it: its hosts, and what happens to them and to their links.
//!
//! Invariant: the test's closures run while no task of the world does, outside of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wakeful::sim::{End, Host, Link, Sim, Task, What};

use crate::child::shift_addresses;
use crate::outcome::Reason;
use crate::panics::{catch, Panic};
use crate::runs::Runs;
use crate::shadows;

/// The limit of a world for which the test sets none.
const USUAL_LIMIT: Duration = Duration::from_secs(7200);

/// The key of runs that got stuck in real time.
pub(crate) const STUCK: &str = "stuck";

/// A simulated world: hosts, links between them, and a clock.
///
/// A host is named by its address or its name: `"10.0.0.1"`, `"db"`, or the [`HostName`] that [`host`](World::host)
/// returns. A name that no host has is a panic, which fails the run.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    sim: Sim,
    state: Mutex<State>,
}

/// The name of a host: its address, unless the test gave it one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Returned,
    /// It has crashed, and may be restarted.
    Down,
}

struct HostState {
    name: HostName,
    addresses: Vec<IpAddr>,
    sim: Host,
    program: Arc<dyn Fn() + Send + Sync>,
    /// Whether the end of the run doesn't wait for it.
    is_server: bool,
    status: Status,
}

/// What the thread of a host lives for.
struct Life {
    index: usize,
    name: HostName,
    host: Host,
    task: Task,
    /// The first record.
    begins: What,
    is_ready: Arc<Barrier>,
}

enum Action {
    Once(Box<dyn FnOnce(&World) + Send>),
    Every(Duration, Box<dyn FnMut(&World) + Send>),
}

type Check = Box<dyn FnMut(&World) -> Result<(), String> + Send>;

struct Invariant {
    name: String,
    check: Check,
}

struct State {
    hosts: Vec<HostState>,
    /// What the test does, by time, and by the order in which it was asked for.
    agenda: BTreeMap<(Duration, u64), Action>,
    next_action: u64,
    invariants: Vec<Invariant>,
    limit: Duration,
    /// Whether a run that reaches its limit is one that ends well.
    ends_at_limit: bool,
    reason: Option<Reason>,
}

impl State {
    /// Whether all hosts have returned that the run waits for.
    fn is_done(&self) -> bool {
        let has_ended = |host: &HostState| match host.status {
            Status::Running => false,
            Status::Returned => true,
            // What is left of the agenda may restart it.
            Status::Down => self.agenda.is_empty(),
        };
        !self.ends_at_limit && self.hosts.iter().filter(|host| !host.is_server).all(has_ended)
    }

    /// Returns the names of the hosts that the run waits for.
    fn waited_for(&self) -> String {
        let hosts = self.hosts.iter().filter(|host| !host.is_server && host.status != Status::Returned);
        hosts.map(|host| host.name.as_ref()).collect::<Vec<_>>().join(", ")
    }
}

impl World {
    /// Returns the runs of all seeds in `range`, to be set up and made.
    pub fn seeds(range: Range<u64>) -> Runs {
        Runs::new(range)
    }

    pub(crate) fn new(sim: Sim) -> World {
        let state = State {
            hosts: Vec::new(),
            agenda: BTreeMap::new(),
            next_action: 0,
            invariants: Vec::new(),
            limit: USUAL_LIMIT,
            ends_at_limit: false,
            reason: None,
        };
        World { inner: Arc::new(Inner { sim, state: Mutex::new(state) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sim(&self) -> &Sim {
        &self.inner.sim
    }

    /// Adds a host, whose program is `program`, on a thread of its own. The run waits for its return.
    ///
    /// `address` is an IP address, or several with commas between. A restarted host calls the program again.
    #[track_caller]
    pub fn host(&self, address: impl fmt::Display, program: impl Fn() + Send + Sync + 'static) -> HostName {
        self.add(None, &address.to_string(), false, program)
    }

    /// Adds a host with a name, which the other hosts can resolve.
    #[track_caller]
    pub fn host_named(
        &self,
        name: &str,
        address: impl fmt::Display,
        program: impl Fn() + Send + Sync + 'static,
    ) -> HostName {
        self.add(Some(name), &address.to_string(), false, program)
    }

    /// Adds a host for whose return the run doesn't wait, since it serves for ever.
    #[track_caller]
    pub fn server(&self, address: impl fmt::Display, program: impl Fn() + Send + Sync + 'static) -> HostName {
        self.add(None, &address.to_string(), true, program)
    }

    /// Adds a host as [`server`](World::server) does, with a name.
    #[track_caller]
    pub fn server_named(
        &self,
        name: &str,
        address: impl fmt::Display,
        program: impl Fn() + Send + Sync + 'static,
    ) -> HostName {
        self.add(Some(name), &address.to_string(), true, program)
    }

    #[track_caller]
    fn add(
        &self,
        name: Option<&str>,
        addresses: &str,
        is_server: bool,
        program: impl Fn() + Send + Sync + 'static,
    ) -> HostName {
        let parsed: Result<Vec<IpAddr>, _> = addresses.split(',').map(|one| one.trim().parse()).collect();
        let parsed = parsed.unwrap_or_else(|_| panic!("{addresses:?} is no IP address"));
        let name = HostName(name.unwrap_or(addresses).into());
        let mut state = self.state();
        let is_taken = state.hosts.iter().any(|host| host.name == name);
        let added = self.inner.sim.add_host(name.as_ref(), &parsed).ok().filter(|_| !is_taken);
        let Some(sim) = added else {
            drop(state);
            panic!("there is a host {name} ({addresses}) already")
        };
        let index = state.hosts.len();
        state.hosts.push(HostState {
            name: name.clone(),
            addresses: parsed,
            sim,
            program: Arc::new(program),
            is_server,
            status: Status::Running,
        });
        drop(state);
        self.begin(index, What::HostStarted);
        name
    }

    /// Starts the thread of a host, which waits for its first turn.
    fn begin(&self, index: usize, begins: What) {
        let world = self.clone();
        let mut state = self.state();
        let host = &mut state.hosts[index];
        host.status = Status::Running;
        let (task, program, name) = (host.sim.other_task(), Arc::clone(&host.program), host.name.clone());
        let thread = std::thread::Builder::new().name(format!("host {name}"));
        let (host, is_ready) = (host.sim.clone(), Arc::new(Barrier::new(2)));
        drop(state);
        let life = Life { index, name, host, task, begins, is_ready: Arc::clone(&is_ready) };
        thread.spawn(move || world.live(life, &*program)).expect("a thread for a host");
        // The start of a thread takes locks of the standard library, for which a task would wait in its world.
        is_ready.wait();
    }

    /// The life of a host, on its thread.
    fn live(&self, life: Life, program: &(dyn Fn() + Send + Sync)) {
        let Life { index, name, host, task, begins, is_ready } = life;
        shift_addresses();
        is_ready.wait();
        // It leaves the world at its end, behind the destructors of its thread-local values.
        shadows::enter(task);
        host.log(begins);
        let result = catch(program);
        task.outside(|| self.state().hosts[index].status = Status::Returned);
        let Err(panic) = result else { return host.log(What::HostEnded) };
        host.log(What::HostPanicked(panic.message.clone()));
        task.outside(|| self.set_reason(of_panic(&format!("host {name}"), &panic)));
    }

    /// Returns the number of a host.
    #[track_caller]
    fn find(&self, host: impl AsRef<str>) -> usize {
        let (state, wanted) = (self.state(), host.as_ref());
        let address = wanted.parse::<IpAddr>().ok();
        let is_it = |host: &HostState| {
            host.name.as_ref() == wanted || address.is_some_and(|address| host.addresses.contains(&address))
        };
        if let Some(index) = state.hosts.iter().position(is_it) {
            return index;
        }
        let all: Vec<_> = state.hosts.iter().map(|host| host.name.to_string()).collect();
        drop(state);
        panic!("no host is {wanted:?}: there are {all:?}")
    }

    #[track_caller]
    fn sim_host(&self, host: impl AsRef<str>) -> Host {
        let index = self.find(host);
        self.state().hosts[index].sim.clone()
    }

    /// Sets the link between two hosts.
    #[track_caller]
    pub fn link(&self, one: impl AsRef<str>, other: impl AsRef<str>, link: Link) {
        self.sim_host(one).set_link(&self.sim_host(other), link);
    }

    /// Sets the links between all hosts that have none of their own.
    pub fn links(&self, link: Link) {
        self.inner.sim.set_usual_link(link);
    }

    /// Cuts the links between each host of one side and each of the other, in both directions. What is on its way there
    /// is lost.
    #[track_caller]
    pub fn partition(&self, one: &[impl AsRef<str>], other: &[impl AsRef<str>]) {
        for (one, other) in pairs(one, other) {
            self.cut(one, other);
            self.cut(other, one);
        }
    }

    /// Cuts one direction of a link.
    #[track_caller]
    pub fn cut(&self, from: impl AsRef<str>, to: impl AsRef<str>) {
        self.sim_host(from).cut(&self.sim_host(to), true);
    }

    /// Resets all connections between two hosts, as a device on the way does. New ones can be made at once.
    #[track_caller]
    pub fn reset(&self, one: impl AsRef<str>, other: impl AsRef<str>) {
        self.sim_host(one).reset_connections(&self.sim_host(other));
    }

    /// Mends all links.
    pub fn heal(&self) {
        let hosts: Vec<Host> = self.state().hosts.iter().map(|host| host.sim.clone()).collect();
        for (one, other) in hosts.iter().flat_map(|one| hosts.iter().map(move |other| (one, other))) {
            one.cut(other, false);
        }
    }

    /// Mends the links between each host of one side and each of the other.
    #[track_caller]
    pub fn heal_between(&self, one: &[impl AsRef<str>], other: &[impl AsRef<str>]) {
        for (one, other) in pairs(one, other) {
            let (one, other) = (self.sim_host(one), self.sim_host(other));
            one.cut(&other, false);
            other.cut(&one, false);
        }
    }

    /// Kills the programs of a host. Its kernel goes on, and closes their sockets. The run doesn't wait for the host,
    /// unless an `at` or `every` is left, which may restart it.
    ///
    /// The host's threads stop where they are, so a lock that they hold and share with the test stays locked.
    #[track_caller]
    pub fn crash(&self, host: impl AsRef<str>) {
        self.stop(host.as_ref(), false);
    }

    /// Stops a host at once. Its peers get no message.
    #[track_caller]
    pub fn cut_power(&self, host: impl AsRef<str>) {
        self.stop(host.as_ref(), true);
    }

    #[track_caller]
    fn stop(&self, host: &str, is_power_lost: bool) {
        let index = self.find(host);
        let mut state = self.state();
        if state.hosts[index].status != Status::Down {
            state.hosts[index].status = Status::Down;
            state.hosts[index].sim.crash(is_power_lost);
        }
    }

    /// Begins a host's program again. A host that still runs crashes first.
    #[track_caller]
    pub fn restart(&self, host: impl AsRef<str>) {
        let index = self.find(&host);
        self.stop(host.as_ref(), false);
        self.begin(index, What::HostRestarted);
    }

    /// Gives a host no turn until it is resumed, as a machine that sleeps. Its messages arrive, and wait.
    #[track_caller]
    pub fn pause(&self, host: impl AsRef<str>) {
        self.sim_host(host).pause(true);
    }

    /// Ends the pause of a host.
    #[track_caller]
    pub fn resume(&self, host: impl AsRef<str>) {
        self.sim_host(host).pause(false);
    }

    /// Sets a host's clock `lead` ahead of the world's.
    #[track_caller]
    pub fn clock_ahead(&self, host: impl AsRef<str>, lead: Duration) {
        self.sim_host(host).set_skew(lead, Duration::ZERO);
    }

    /// Sets a host's clock `lag` behind the world's.
    #[track_caller]
    pub fn clock_behind(&self, host: impl AsRef<str>, lag: Duration) {
        self.sim_host(host).set_skew(Duration::ZERO, lag);
    }

    /// Calls `act` at a time of the world, as soon as every host waits.
    pub fn at(&self, time: Duration, act: impl FnOnce(&World) + Send + 'static) {
        self.schedule(time, Action::Once(Box::new(act)));
    }

    /// Calls `act` after each `period`.
    ///
    /// # Panics
    ///
    /// `period` is zero.
    #[track_caller]
    pub fn every(&self, period: Duration, act: impl FnMut(&World) + Send + 'static) {
        assert!(period > Duration::ZERO, "a period of no time never ends");
        self.schedule(self.now() + period, Action::Every(period, Box::new(act)));
    }

    fn schedule(&self, time: Duration, action: Action) {
        let mut state = self.state();
        state.next_action += 1;
        let number = state.next_action;
        state.agenda.insert((time, number), action);
    }

    /// Checks `check` whenever time has moved, and at the end. An error or a panic of it fails the run.
    pub fn invariant(&self, name: &str, check: impl FnMut(&World) -> Result<(), String> + Send + 'static) {
        let check = Box::new(check);
        self.state().invariants.push(Invariant { name: name.to_owned(), check });
    }

    /// Ends the run when each host has returned but for the servers, and fails it if that takes longer than `limit`.
    ///
    /// This is the usual end, with two hours.
    pub fn end_when_done(&self, limit: Duration) {
        let mut state = self.state();
        (state.limit, state.ends_at_limit) = (limit, false);
    }

    /// Ends the run after this time, whether the hosts have returned or not.
    pub fn end_after(&self, time: Duration) {
        let mut state = self.state();
        (state.limit, state.ends_at_limit) = (time, true);
    }

    /// Writes a line into the story of the run.
    pub fn note(&self, text: impl Into<String>) {
        self.inner.sim.note(What::Note(text.into()));
    }

    /// Returns one of `0..limit`, by the seed. 0 is the plain choice, which the smallest failing run takes where it
    /// can.
    #[must_use]
    pub fn choose(&self, limit: usize) -> usize {
        self.inner.sim.choose(limit)
    }

    /// Returns the time since the world's start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.inner.sim.elapsed()
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.inner.sim.seed()
    }

    pub(crate) fn host_names(&self) -> Vec<String> {
        self.state().hosts.iter().map(|host| host.name.to_string()).collect()
    }

    /// Takes the reason of a failure.
    pub(crate) fn take_reason(&self) -> Option<Reason> {
        self.state().reason.take()
    }

    /// Ends the run as failed. The log has the failure already.
    fn set_reason(&self, reason: Reason) {
        let end = End::Failed(reason.text.clone());
        self.state().reason.get_or_insert(reason);
        self.inner.sim.end(end);
    }

    /// Ends the run as failed, by the world.
    fn fail(&self, reason: Reason) {
        self.inner.sim.note(What::Failed(reason.text.clone()));
        self.set_reason(reason);
    }

    /// Returns why the world can't begin.
    pub(crate) fn flaw(&self) -> Option<Reason> {
        let state = self.state();
        let is_endless = !state.ends_at_limit && state.hosts.iter().all(|host| host.is_server);
        is_endless.then(|| {
            let text = "all hosts are servers, so the run is never done: call `end_after`, or add a `host`";
            Reason::new("endless", text)
        })
    }

    /// Returns the reason of a run that ended since every host waits.
    pub(crate) fn deadlock(&self) -> Reason {
        let hosts = self.state().waited_for();
        let text = format!("every host waits, and nothing is on its way ({hosts})");
        Reason::new("deadlock", text)
    }

    /// Returns the reason of a run that got stuck in real time.
    pub(crate) fn stuck(&self, limit: Duration) -> Reason {
        let running = self.inner.sim.running();
        let state = self.state();
        let host = running.and_then(|number| state.hosts.get(number as usize));
        let text = match host {
            Some(host) => format!(
                "host {} has run for {limit:?} without waiting in the world: a loop without a wait, or a wait for \
                 something outside (a lock, a real socket, another process)",
                host.name
            ),
            None => format!("no host has run for {limit:?}: a closure of the test doesn't return"),
        };
        Reason::new(STUCK, text)
    }
}

fn pairs<'a, A: AsRef<str>, B: AsRef<str>>(
    one: &'a [A],
    other: &'a [B],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    one.iter().flat_map(|one| other.iter().map(|other| (one.as_ref(), other.as_ref())))
}

pub(crate) fn of_panic(actor: &str, panic: &Panic) -> Reason {
    let Panic { message, place } = panic;
    Reason::new(format!("panic at {place}"), format!("{actor} panics at {place}: {message}"))
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("sim", &self.inner.sim).finish_non_exhaustive()
    }
}

/// What the world asks the test for whenever all hosts wait.
pub(crate) struct Director {
    world: World,
    /// The run's start, in real time.
    start: Instant,
    /// How long the run may take in real time.
    limit: Duration,
}

impl Director {
    pub(crate) fn new(world: &World, limit: Duration) -> Director {
        Director { world: world.clone(), start: Instant::now(), limit }
    }
}

impl wakeful::sim::Director for Director {
    fn next(&self, due: Option<Duration>) -> Option<Duration> {
        let state = self.world.state();
        if state.is_done() {
            return Some(Duration::ZERO);
        }
        let first = state.agenda.keys().next().map(|&(time, _)| time);
        // The limit alone would hide a deadlock.
        let waits_for_ever = due.is_none() && first.is_none() && !state.ends_at_limit;
        (!waits_for_ever).then(|| first.map_or(state.limit, |first| first.min(state.limit)))
    }

    fn step(&mut self, now: Duration) {
        let world = &self.world;
        world.act(now);
        world.check();
        let state = world.state();
        let (is_over, is_good) = (state.limit <= now, state.ends_at_limit);
        if state.is_done() || is_over && is_good {
            drop(state);
            world.inner.sim.end(End::Done);
        } else if is_over {
            let text =
                format!("the limit of {:?} is over, and {} still runs", state.limit, state.waited_for());
            drop(state);
            world.fail(Reason::new("limit", text));
        } else if self.start.elapsed() > self.limit {
            let limit = self.limit;
            let text =
                format!("the run has taken {limit:?} of real time, and {} still runs", state.waited_for());
            drop(state);
            world.fail(Reason::new(STUCK, text));
        }
    }
}

impl World {
    /// Does what the test wants at this time.
    fn act(&self, now: Duration) {
        loop {
            let mut state = self.state();
            let Some((&key, _)) = state.agenda.iter().next().filter(|((time, _), _)| *time <= now) else {
                return;
            };
            let Some(action) = state.agenda.remove(&key) else { return };
            drop(state);
            let result = match action {
                Action::Once(act) => catch(|| act(self)),
                Action::Every(period, mut act) => {
                    let result = catch(|| act(self));
                    self.schedule(key.0 + period, Action::Every(period, act));
                    result
                }
            };
            if let Err(panic) = result {
                let reason = of_panic(&format!("the test, at {:?},", key.0), &panic);
                return self.fail(reason);
            }
        }
    }

    /// Checks all invariants.
    fn check(&self) {
        let mut all = std::mem::take(&mut self.state().invariants);
        for Invariant { name, check } in &mut all {
            let reason = match catch(|| check(self)) {
                Ok(Ok(())) => continue,
                Ok(Err(text)) => {
                    Reason::new(format!("invariant {name}"), format!("invariant {name:?}: {text}"))
                }
                Err(panic) => of_panic(&format!("invariant {name:?}"), &panic),
            };
            self.fail(reason);
            break;
        }
        let mut state = self.state();
        all.append(&mut state.invariants);
        state.invariants = all;
    }
}
