//! A node on tokio: one task owns the state, and tasks for connections bring it events.
//!
//! The node runs on a `current_thread` runtime of its own and ends with it: dropping the runtime is the node's crash.
//! The state changes only between two awaits, so a crash never leaves half of a change on the disk.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout, Instant};

use super::super::net::{TcpListener, TcpStream};
use super::super::wire;
use super::core::{Broken, Core, Disk};
use super::history::History;
use super::message::{Position, Reply, Request};

/// The time between two messages of a leader to each follower.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// The shortest time without a leader's message after which a node stands for election, and the most that chance adds.
const ELECTION: (Duration, u64) = (Duration::from_millis(150), 150);
/// The longest that a node waits for a connection and a reply, before it makes another connection.
const PATIENCE: Duration = Duration::from_millis(200);

/// A node's place in the cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's own index in `nodes`.
    pub id: u64,
    pub nodes: Vec<SocketAddr>,
    pub broken: Broken,
}

enum Event {
    /// Another node or a client asks, and waits for the reply.
    Asked(Request, oneshot::Sender<Reply>),
    /// Another node has replied.
    Answered(u64, Request, Reply),
}

/// Runs a node until its runtime is dropped. Returns only if its address can't be bound.
///
/// What the node knows survives a crash in `disk`: pass the same one to start it again. `history` is the observer's.
pub async fn run(config: Config, disk: Arc<Mutex<Disk>>, history: Arc<Mutex<History>>) -> io::Result<()> {
    let listener = TcpListener::bind(config.nodes[config.id as usize]).await?;
    let (inbox, mut events) = mpsc::channel(64);
    tokio::spawn(accept(listener, inbox.clone()));
    let links = (0..).zip(&config.nodes).map(|(peer, address)| {
        let (link, requests) = mpsc::channel(1);
        if peer != config.id {
            tokio::spawn(link_to(peer, *address, requests, inbox.clone()));
        }
        link
    });
    let links: Vec<_> = links.collect();
    let core = Core::new(config.id, links.len() as u64, config.broken, &mut disk.lock().unwrap());
    let waiting = Vec::new();
    let mut node = Node { id: config.id, core, disk, history, links, waiting, seen: 0, deadline: election() };
    loop {
        match timeout(node.deadline.saturating_duration_since(Instant::now()), events.recv()).await {
            Ok(event) => node.handle(event.expect("`inbox` is here")),
            Err(_) => node.wake(),
        }
        node.settle();
    }
}

/// Returns when a node stands for election, if it hears of no leader before.
fn election() -> Instant {
    let (least, spread) = ELECTION;
    // Each `RandomState` has other keys.
    Instant::now() + least + Duration::from_millis(RandomState::new().build_hasher().finish() % spread)
}

async fn accept(listener: TcpListener, inbox: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, inbox.clone()))),
            Err(_) => sleep(HEARTBEAT).await,
        }
    }
}

/// Passes the requests of one connection on, and the replies back. Ends with the connection.
async fn serve(mut stream: TcpStream, inbox: mpsc::Sender<Event>) -> io::Result<()> {
    loop {
        let request = Request::parse(&wire::receive(&mut stream).await?)?;
        let (reply, replied) = oneshot::channel();
        let _ = inbox.send(Event::Asked(request, reply)).await;
        let Ok(reply) = replied.await else { return Ok(()) };
        wire::send(&mut stream, &reply.words()).await?;
    }
}

/// Carries requests to one node, one at a time. A request that fails is dropped: the next heartbeat repeats it.
async fn link_to(
    peer: u64,
    address: SocketAddr,
    mut requests: mpsc::Receiver<Request>,
    inbox: mpsc::Sender<Event>,
) {
    let mut kept: Option<TcpStream> = None;
    while let Some(request) = requests.recv().await {
        let stream = kept.take();
        let ask = async {
            let mut stream = match stream {
                Some(stream) => stream,
                None => TcpStream::connect(address).await?,
            };
            let words = wire::ask(&mut stream, &request.words()).await?;
            io::Result::Ok((Reply::parse(&words)?, stream))
        };
        if let Ok(Ok((reply, stream))) = timeout(PATIENCE, ask).await {
            kept = Some(stream);
            let _ = inbox.send(Event::Answered(peer, request, reply)).await;
        }
    }
}

struct Node {
    id: u64,
    core: Core,
    disk: Arc<Mutex<Disk>>,
    history: Arc<Mutex<History>>,
    /// To each node's `link_to`; its own is closed.
    links: Vec<mpsc::Sender<Request>>,
    /// The clients that wait for an entry to be committed.
    waiting: Vec<(Position, oneshot::Sender<Reply>)>,
    /// The number of committed entries that the observer has seen.
    seen: u64,
    /// When a leader sends the next heartbeat, and another node stands for election.
    deadline: Instant,
}

impl Node {
    fn handle(&mut self, event: Event) {
        let disk = self.disk.clone();
        let disk = &mut *disk.lock().unwrap();
        match event {
            Event::Asked(Request::Put { value }, reply) => match self.core.put(disk, value) {
                Some(position) => {
                    self.waiting.push((position, reply));
                    self.replicate(disk);
                }
                None => drop(reply.send(self.refusal(disk))),
            },
            Event::Asked(Request::Vote { term, candidate, last }, reply) => {
                let answer = self.core.vote(disk, term, candidate, last);
                if answer.ok {
                    self.deadline = election();
                }
                let _ = reply.send(answer);
            }
            Event::Asked(Request::Append { term, leader, before, commit, entries }, reply) => {
                let answer = self.core.replicate(disk, (term, leader), before, commit, &entries);
                if answer.term == term {
                    self.deadline = election();
                }
                let _ = reply.send(answer);
            }
            Event::Answered(peer, request, reply) => {
                let led = self.core.leads();
                self.core.answered(disk, peer, &request, reply);
                if self.core.leads() && !led {
                    self.history.lock().unwrap().leads(self.id, disk.term);
                    self.deadline = Instant::now() + HEARTBEAT;
                    self.replicate(disk);
                } else if self.core.lacks(disk, peer) {
                    self.send(peer, self.core.append(disk, peer));
                }
            }
        }
    }

    /// Sends heartbeats as the leader, or stands for election.
    fn wake(&mut self) {
        let disk = self.disk.clone();
        let disk = &mut *disk.lock().unwrap();
        if self.core.leads() {
            self.deadline = Instant::now() + HEARTBEAT;
            self.replicate(disk);
        } else {
            self.deadline = election();
            let request = self.core.stand(disk);
            (0..self.links.len() as u64).for_each(|peer| self.send(peer, Some(request.clone())));
        }
    }

    fn replicate(&self, disk: &Disk) {
        (0..self.links.len() as u64).for_each(|peer| self.send(peer, self.core.append(disk, peer)));
    }

    /// Gives a request to a link. One that is still busy drops it.
    fn send(&self, peer: u64, request: Option<Request>) {
        if let Some(request) = request {
            let _ = self.links[peer as usize].try_send(request);
        }
    }

    /// Answers the clients whose entries are committed or given up, and shows the observer what is committed.
    fn settle(&mut self) {
        let disk = self.disk.lock().unwrap();
        let commit = self.core.commit();
        for index in self.seen + 1..=commit {
            self.history.lock().unwrap().commits(self.id, index, disk.log[index as usize - 1]);
        }
        self.seen = commit;
        let (leads, refusal) = (self.core.leads(), self.refusal(&disk));
        let (done, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(position, _)| !leads || position.index <= commit);
        self.waiting = waiting;
        for (position, reply) in done {
            let is_kept = leads && position.term == disk.term;
            let _ = reply.send(if is_kept { Reply { ok: true, ..refusal } } else { refusal });
        }
    }

    /// The answer to a client whose value this node can't commit.
    fn refusal(&self, disk: &Disk) -> Reply {
        Reply { term: disk.term, ok: false, index: self.core.leader().unwrap_or(u64::MAX) }
    }
}
