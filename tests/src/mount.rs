//! A folder on a file system of its own, in a file, which can be filled. It takes root, a loop device and ext4.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Less cannot be had of ext4 at once.
const LEFT: u64 = 64 << 10;

/// A folder's file system. Its owner unmounts it, once nobody uses it.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Puts what a folder holds, or nothing, on a file system of so many bytes, in its place.
    pub fn over(folder: &Path, bytes: u64) -> Result<Self> {
        let (image, kept) = (
            folder.with_extension("image"),
            folder.with_extension("kept"),
        );
        File::create(&image)?.set_len(bytes)?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&image))?;
        if folder.exists() {
            fs::rename(folder, &kept)?;
        } else {
            fs::create_dir_all(&kept)?;
        }
        fs::create_dir_all(folder)?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, folder]))?;
        let mount = Self {
            folder: folder.to_owned(),
        };
        fs::remove_dir(folder.join("lost+found"))?;
        for entry in fs::read_dir(&kept)? {
            let copy = ["--preserve=mode", "--sparse=always"];
            run(Command::new("cp").args(copy).arg(entry?.path()).arg(folder))?;
        }
        fs::remove_dir_all(&kept)?;
        Ok(mount)
    }

    /// Leaves no room.
    pub fn fill(&self) -> Result<()> {
        let filler = self.filler();
        let free = self.free()?.saturating_sub(LEFT);
        if free > 0 {
            let length = free + fs::metadata(&filler).map_or(0, |filler| filler.len());
            let length = length.to_string();
            run(Command::new("fallocate").args(["-l", &length]).arg(&filler))?;
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn relieve(&self) -> Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.context("removing what fills a file system"),
        }
    }

    /// No file of the server's.
    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    fn free(&self) -> Result<u64> {
        let asked = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(&self.folder)
            .output()?;
        let told = String::from_utf8(asked.stdout)?;
        let free = told.lines().nth(1).context("df says nothing")?;
        Ok(free.trim().parse()?)
    }

    /// Takes it away, with what is on it.
    pub fn unmount(&self) -> Result<()> {
        // Lazily: who was killed a moment ago may hold it yet.
        run(Command::new("umount").arg("-l").arg(&self.folder))
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output();
    let output = output.with_context(|| format!("running {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}; mounting takes root",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
