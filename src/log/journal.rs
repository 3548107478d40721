//! Whether lines go to systemd's journal.

use std::os::fd::AsFd;

use rustix::fs::fstat;

/// Whether this stream leads into the journal: `variable` is the value of `JOURNAL_STREAM`, the
/// device and the inode of the stream that systemd made (systemd.exec(5)). A stream that was
/// redirected since is another.
pub fn is_journal(stream: impl AsFd, variable: Option<&str>) -> bool {
    let Some(variable) = variable else {
        return false;
    };
    match fstat(stream) {
        Ok(stat) => variable == format!("{}:{}", stat.st_dev, stat.st_ino),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_the_stream_that_systemd_made_is_the_journals() -> Result<(), Box<dyn std::error::Error>>
    {
        let (ours, other) = UnixStream::pair()?;
        let stat = fstat(&ours)?;
        let variable = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(&ours, Some(&variable)));
        assert!(!is_journal(&other, Some(&variable)));
        for wrong in [None, Some(""), Some("1"), Some("x:y")] {
            assert!(!is_journal(&ours, wrong), "{wrong:?}");
        }
        Ok(())
    }
}
