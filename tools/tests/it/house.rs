//! A log in a temporary directory, the command over it, and a server that is ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Recorded agent traffic that is not part of the repository; `None`, said plainly, where it is absent.
pub fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("INTERLOCK_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let file = folder.join(name);
    if file.is_file() {
        return Some(file);
    }
    eprintln!("NOT RUN: `{}` is absent; set INTERLOCK_DATA to the folder that has it", file.display());
    None
}

/// The command with these arguments, run to its end.
pub fn interlock<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_interlock")).args(arguments).output().unwrap()
}

/// The standard output of a command that must succeed.
pub fn ok<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> String {
    let output = interlock(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that must fail says, and its exit code.
pub fn fails<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> (i32, String) {
    let output = interlock(arguments);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A log that was made by `init`.
pub struct House {
    folder: TempDir,
    pub vkey: String,
    pub api_key: String,
}

impl House {
    pub fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    pub fn within(folder: TempDir) -> Self {
        let data = folder.path().join("log");
        let made = ok(["init", "--data", data.to_str().unwrap(), "--origin", "ledger.example/test", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        for name in ["api_key", "admin_key"] {
            secret_file(&folder.path().join(name), &text(name));
        }
        Self { vkey: text("vkey"), api_key: text("api_key"), folder }
    }

    /// A path beside the log.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// As [`House::publish`], decided by an engine.
    pub fn publish_under(&self, set: &str, engine: &str) -> String {
        let trust = self.path("engine.toml");
        std::fs::write(&trust, format!("[engine]\nkind = \"{engine}\"\n")).unwrap();
        self.publish_with(set, &["--trust", &trust])
    }

    /// As [`House::publish`], with this trust file.
    pub fn publish_trusting(&self, set: &str, trust: &str) -> String {
        self.publish_with(set, &["--trust", trust])
    }

    pub fn publish(&self, set: &str) -> String {
        self.publish_with(set, &[])
    }

    fn publish_with(&self, set: &str, more: &[&str]) -> String {
        let policies = root().join("testdata/policies").join(set);
        let (policy, schema) = (policies.join("policies.cedar"), policies.join("schema.cedarschema"));
        let (log, key) = (self.path("log"), self.path("admin_key"));
        let (policy, schema) = (policy.to_str().unwrap(), schema.to_str().unwrap());
        let publish =
            ["policy", "publish", "--data", &log, "--key-file", &key, "--policies", policy, "--schema", schema];
        ok(publish.iter().chain(more))
    }

    /// Another house with the same content and keys.
    pub fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (format!("{}/.", self.folder.path().display()), folder.path());
        assert!(Command::new("cp").args(["-a", &from]).arg(to).status().unwrap().success());
        Self { folder, vkey: self.vkey.clone(), api_key: self.api_key.clone() }
    }

    pub fn serve(&self) -> Server {
        Server::start(&self.path("log"), &[])
    }
}

/// Writes a file that only its owner can read.
pub fn secret_file(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// How long a server that neither comes up nor ends is waited for: many times what the slowest start takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A server that did not come up.
#[derive(Debug)]
pub struct NotUp {
    /// What it said.
    pub said: String,
    /// It did not end either, or did not say what a server says, and was killed.
    pub silent: bool,
}

/// Kills a process that is not up in time, so that nobody waits for it for ever.
struct Watch {
    up: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watch {
    fn over(process: u32, patience: Duration) -> Self {
        let (up, is_up) = channel();
        let thread = std::thread::spawn(move || {
            let late = is_up.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            late && signal("-USR1", process)
        });
        Self { up, thread }
    }

    /// Nobody waits any more, and the process was not waited for yet; true if it had to be killed.
    fn end(self) -> bool {
        drop(self.up);
        self.thread.join().unwrap()
    }
}

fn signal(signal: &str, process: u32) -> bool {
    Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success()
}

/// Ends a process at once, and in another way than a fault that was put into it does: nothing here handles SIGUSR1.
fn end(child: &mut Child) {
    assert!(signal("-USR1", child.id()));
    child.wait().unwrap();
}

/// A running `interlock serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub decisions: String,
    pub public: String,
    /// How many records its start had to fold.
    pub folded: u64,
}

impl Server {
    pub fn start(data: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
        command.args(Self::arguments(data)).args(more);
        Self::begin(command).unwrap_or_else(|said| panic!("the server said: {said}"))
    }

    /// With its public listener at an address of before.
    pub fn start_at(data: &str, public: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
        command.args(["serve", "--data", data, "--listen", "127.0.0.1:0", "--public", public]);
        Self::begin(command).unwrap_or_else(|said| panic!("the server said: {said}"))
    }

    /// The public read API alone.
    pub fn read_only(data: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interlock"));
        command.args(["serve", "--data", data, "--read-only", "--public", "127.0.0.1:0"]);
        Self::listening(command, &["public read API"], PATIENCE)
            .unwrap_or_else(|not_up| panic!("the server said: {}", not_up.said))
    }

    /// `serve` on free ports.
    pub fn arguments(data: &str) -> [&str; 7] {
        ["serve", "--data", data, "--listen", "127.0.0.1:0", "--public", "127.0.0.1:0"]
    }

    /// A server that a command starts as its own process; what was said instead, if it does not come up.
    pub fn begin(command: Command) -> Result<Self, String> {
        Self::begin_within(PATIENCE, command).map_err(|not_up| not_up.said)
    }

    /// As [`Server::begin`], with so much time to come up; then it is killed.
    pub fn begin_within(patience: Duration, command: Command) -> Result<Self, NotUp> {
        Self::listening(command, &["decision API", "public read API"], patience)
    }

    fn listening(mut command: Command, names: &[&str], patience: Duration) -> Result<Self, NotUp> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let watch = Watch::over(child.id(), patience);
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut addresses = Vec::new();
        for name in names {
            let mut said = String::new();
            lines.read_line(&mut said).unwrap();
            match said.strip_prefix(*name) {
                Some(address) => addresses.push(address.trim().to_owned()),
                None => {
                    lines.read_to_string(&mut said).unwrap();
                    let silent = watch.end();
                    child.wait().unwrap();
                    return Err(NotUp { said, silent });
                }
            }
        }
        let mut folded = 0;
        if names.len() == 2 {
            // Size and key, then where the state is from.
            let mut said = [String::new(), String::new()];
            said.iter_mut().for_each(|line| _ = lines.read_line(line).unwrap());
            let late = watch.end();
            let words = said[1].split_once(", ").map_or(said[1].as_str(), |(_, behind)| behind).split(' ');
            match words.filter_map(|word| word.parse().ok()).next() {
                Some(records) if !late => folded = records,
                // It was killed, or what it said did not arrive.
                Some(_) | None => {
                    end(&mut child);
                    return Err(NotUp { said: said.concat(), silent: true });
                }
            }
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = lines.read_to_string(&mut rest);
            if rest.lines().count() > 1 {
                eprintln!("server: {rest}");
            }
        });
        let public = addresses.pop().unwrap();
        Ok(Self { child, decisions: addresses.pop().unwrap_or_default(), public, folded })
    }

    /// The process.
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// `kill -9`, also where that was done already.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As [`Server::kill`], so that it can be told from a SIGKILL that somebody else sent.
    pub fn end(mut self) {
        end(&mut self.child);
    }

    /// SIGTERM; gone within ten seconds, or the test fails.
    pub fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.id()]).status().unwrap().success());
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(11), "the server did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Speaks HTTP for a test.
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Http {
    pub fn new() -> Self {
        Self::waiting(Duration::from_secs(20))
    }

    /// That gives an answer up after so long.
    pub fn waiting(patience: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(patience).build().unwrap();
        Self { runtime, client }
    }

    pub fn get(&self, url: &str) -> (u16, Vec<u8>) {
        self.get_as(url, "*/*")
    }

    /// In the form of this media type.
    pub fn get_as(&self, url: &str, accept: &str) -> (u16, Vec<u8>) {
        self.runtime.block_on(async {
            let answer = self.client.get(url).header("accept", accept).send().await.unwrap();
            (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
        })
    }

    /// JSON posted without a key; `None` if the server did not answer.
    pub fn post(&self, url: &str, body: &str) -> Option<(u16, Value)> {
        self.runtime.block_on(async {
            let request = self.client.post(url).header("content-type", "application/json").body(body.to_owned());
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default()))
        })
    }

    /// `None` if the server did not answer.
    pub fn decide(&self, server: &str, key: &str, body: &str) -> Option<(u16, Value)> {
        self.runtime.block_on(async {
            let request = self.client.post(format!("{server}/v1/decisions")).bearer_auth(key);
            let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default()))
        })
    }
}

/// The refund that the `hello` policies allow, or deny where the amount is more than was paid.
pub fn refund(amount: u32) -> String {
    format!(
        r#"{{"subject":{{"type":"Agent","id":"clerk"}},"action":{{"name":"refund"}},"resource":{{"type":"Order","id":"17","properties":{{"paid":250}}}},"context":{{"amount":{amount}}}}}"#
    )
}
