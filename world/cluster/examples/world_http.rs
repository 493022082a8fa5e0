//! hyper's server and hyper-util's client, unmodified, through a link that loses a message in ten.
//!
//! `cargo run --example world_http`

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use wakeful_world::{Link, World};

wakeful_world::interpose!();

fn main() {
    World::seeds(0..50).run(|world| {
        world.links(Link { loss: 10, latency: Duration::from_millis(30), ..Link::default() });
        world.server_named("server", "10.0.0.1", || block_on(serve()).unwrap());
        world.host("10.0.0.2", || block_on(ask()));
        world.end_when_done(Duration::from_secs(600));
    });
    println!("50 seeds, no failure");
}

fn block_on<F: std::future::Future>(program: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(program)
}

/// Answers each request with the length of its body.
async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
            TokioIo::new(stream),
            service_fn(|request: Request<Incoming>| async {
                let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(length.to_string()))))
            }),
        ));
    }
}

/// Makes requests by the server's name, several at once, on connections that the client keeps.
async fn ask() {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let requests = (0..8_usize).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            for length in (0..4).map(|k| k * 1000 + number) {
                let body = Full::new(Bytes::from(vec![b'x'; length]));
                let request = Request::post("http://server/").body(body).unwrap();
                let response = client.request(request).await.unwrap();
                let answer = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(answer, length.to_string());
            }
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
}
