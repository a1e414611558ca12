//! A keeper outlives the test process by a moment and tidies up behind it.
//!
//! A shared cluster lives in a static, which is never dropped, and a test process may be killed: either
//! way a server would keep running. The keeper is a shell that waits on a pipe from the test process. The
//! kernel closes that pipe however the process ends; then the keeper kills the server and removes its data.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Watches over one server process.
#[derive(Debug)]
pub struct Keeper(Child);

impl Keeper {
    /// Starts watching. `data` is removed only when the test process ends without dismissing the keeper.
    pub fn watch(server: u32, data: &Path) -> io::Result<Self> {
        // An interrupt from the keyboard reaches the whole process group; the keeper outlives it.
        let script = r#"trap '' INT TERM; read -r word; [ "$word" = dismissed ] && exit 0
            kill -9 "$1" 2>/dev/null; rm -rf -- "$2""#;
        let child = Command::new("sh")
            .args(["-c", script, "keeper", &server.to_string()])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// The server has ended and was waited for, so its process id may be somebody else's from now on.
    pub fn dismiss(mut self) -> io::Result<()> {
        if let Some(mut pipe) = self.0.stdin.take() {
            pipe.write_all(b"dismissed\n")?;
        }
        self.0.wait().map(drop)
    }
}
