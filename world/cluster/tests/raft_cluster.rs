//! Three Raft nodes on loopback sockets, each on a thread with a runtime of its own, as a host of a world has it.

mod loopback;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loopback::{addresses, block_on};
use tokio::sync::oneshot;
use world_cluster::raft::{run, Broken, Client, Config, Disk, History};

struct Node {
    crash: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Node {
    fn start(id: u64, nodes: &[SocketAddr], disk: &Arc<Mutex<Disk>>, history: &Arc<Mutex<History>>) -> Node {
        let config = Config { id, nodes: nodes.to_vec(), broken: Broken::No };
        let (disk, history) = (disk.clone(), history.clone());
        let (crash, crashed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                tokio::select! {
                    ended = run(config, disk, history) => ended.unwrap(),
                    _ = crashed => {}
                }
            });
        });
        Node { crash, thread }
    }

    fn crash(self) {
        self.crash.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn appends_while_nodes_crash_and_restart() {
    let nodes = addresses(3);
    let disks: Vec<_> = (0..3).map(|_| Arc::new(Mutex::new(Disk::default()))).collect();
    let history = Arc::new(Mutex::new(History::default()));
    let start = |id: usize| Node::start(id as u64, &nodes, &disks[id], &history);
    let mut running: Vec<_> = (0..3).map(|id| Some(start(id))).collect();
    let mut client = Client::new(nodes.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (id, node) in running.iter_mut().enumerate() {
        // Each node is down once, so the leader is too.
        node.take().unwrap().crash();
        for value in 0..5 {
            let value = 10 * id as u64 + value;
            runtime.block_on(client.append(value));
            history.lock().unwrap().acknowledged(value);
        }
        *node = Some(start(id));
    }
    // The restarted nodes learn what was committed without them.
    let limit = Instant::now() + Duration::from_secs(10);
    while disks.iter().any(|disk| disk.lock().unwrap().log.len() < 15) {
        assert!(Instant::now() < limit, "{disks:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.into_iter().flatten().for_each(Node::crash);
    let history = history.lock().unwrap();
    history.check().unwrap();
    assert!(history.len() >= 15, "{history:?}");
    assert!(history.terms() >= 2, "{history:?}");
}
