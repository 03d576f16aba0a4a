//! The limit of single decisions over HTTP: a handler of the same server that only parses a JSON body and echoes it.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};

/// An echo server on loopback, on as many workers as the authorizer has.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    handle: ServerHandle,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

async fn echo(body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(_) => HttpResponse::Ok().content_type("application/json").body(body),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

impl Echo {
    /// Starts it.
    pub fn start(workers: usize) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = || {
                    App::new().app_data(web::PayloadConfig::new(16 << 20)).route("/v1/decisions", web::post().to(echo))
                };
                let server =
                    HttpServer::new(app).workers(workers).tcp_nodelay(true).disable_signals().listen(listener)?.run();
                send.send(server.handle()).map_err(std::io::Error::other)?;
                server.await
            })
        });
        let handle = receive.recv().map_err(std::io::Error::other)?;
        Ok(Self { address, handle, thread })
    }

    /// Stops it.
    pub fn stop(self) -> std::io::Result<()> {
        actix_web::rt::System::new().block_on(self.handle.stop(false));
        self.thread.join().map_err(|_| std::io::Error::other("echo server panicked"))?
    }
}
