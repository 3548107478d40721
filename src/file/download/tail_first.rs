//! A download that begins with the file's end, so that a wheel's metadata is known without the
//! rest, and no byte of it is asked for twice.
//!
//! It stands among the downloads of its address. A client that wants the whole meanwhile waits for
//! it, and then the bytes before the end are all that is asked for; a wheel that is all in its end
//! is downloaded by it. Must not know what is made of the end.

use std::sync::Arc;
use std::time::Instant;

use super::tail::Tail;
use super::{Download, DownloadHandle, DownloadTask};
use crate::file::metadata::remote::RemoteError;
use crate::upstream::{FileAnswer, UpstreamError, WantedRange};
use crate::values::byte_range::ByteRange;
use crate::values::clock;

/// What reading the end first came to.
pub enum TailFirst {
    /// No client wanted more of the wheel.
    Tail(Tail),
    /// The wheel is being downloaded.
    Whole(Arc<Download>, DownloadHandle),
}

impl DownloadTask {
    /// Reads so many bytes at the wheel's end, and the rest as well if the wheel is all end or no
    /// longer than `whole_max`, or a client has come for it. Without a length the rest is read only
    /// for a client.
    pub async fn read_tail(
        mut self,
        bytes: u64,
        whole_max: Option<u64>,
    ) -> Result<TailFirst, RemoteError> {
        let asked = clock::now();
        let generator = &self.downloads.generator;
        let credential = self.caller.credential();
        let read = generator.tail(&self.file, credential, bytes).await;
        let wants_whole = match (&read, whole_max) {
            (Ok(tail), Some(most)) => tail.start() == 0 || tail.whole <= most,
            // A wheel that has no end is downloaded for the client that came for it, without it.
            (Ok(_), None) | (Err(_), _) => false,
        };
        if !wants_whole && self.downloads.retire_deserted(&self.file, &self.download) {
            let tail = read?;
            self.downloads.tails.keep(&self.file, tail.clone());
            return Ok(TailFirst::Tail(tail));
        }
        let failure = match read {
            Ok(tail) => {
                self.tail = Some((Arc::new(tail), asked));
                None
            }
            Err(why) => Some(why),
        };
        let download = Arc::clone(&self.download);
        let handle = DownloadHandle::new(&download);
        self.spawn();
        match failure {
            None => Ok(TailFirst::Whole(download, handle)),
            Some(why) => Err(why),
        }
    }

    /// Upstream's answer to the question for the whole, or for what is not here of it, and when it
    /// was asked: its decision about the caller is as old as that.
    pub async fn request_body(
        &self,
        fresh_connection: bool,
    ) -> (Instant, Result<FileAnswer, UpstreamError>) {
        // On a fresh connection nothing of before counts.
        if !fresh_connection {
            if let Some((answer, asked)) = &self.given
                && let Some(answer) = answer.take()
            {
                return (*asked, Ok(FileAnswer::Whole(answer)));
            }
            // Read for this download: a kept end would decide nothing about the caller that leads
            // it.
            if let Some((tail, asked)) = &self.tail
                && tail.start() == 0
            {
                return (*asked, Ok(FileAnswer::Whole(tail.after(None))));
            }
            let now = clock::now();
            let tail = match &self.tail {
                Some((tail, _)) => Some(Arc::clone(tail)),
                None => self.downloads.tails.take(&self.file),
            };
            if let Some(tail) = tail {
                match self.request_beginning(&tail).await {
                    Ok(None) => {}
                    Ok(Some(answer)) => return (now, Ok(answer)),
                    Err(why) => return (now, Err(why)),
                }
            }
        }
        let now = clock::now();
        let ask = self.ask(fresh_connection);
        (now, self.downloads.upstream.file(&ask).await)
    }

    /// The answer for the whole, of which the end is here; nothing, if what upstream has does not
    /// go with it.
    async fn request_beginning(&self, tail: &Tail) -> Result<Option<FileAnswer>, UpstreamError> {
        let Some(validator) = tail.validator() else {
            return Ok(None);
        };
        let range = ByteRange::From {
            first: 0,
            last: Some(tail.start() - 1),
        };
        let mut ask = self.ask(false);
        ask.range = Some(WantedRange {
            range,
            if_range: Some(validator),
        });
        let answered = match self.downloads.upstream.file(&ask).await {
            // One that gives less than was asked may give the whole all the same.
            Err(UpstreamError::WrongPart(_)) => return Ok(None),
            answered => answered?,
        };
        match answered {
            FileAnswer::Part(told, answer) if tail.is_led_by(told, &answer) => {
                let Ok(answer) = answer.uncoded() else {
                    return Ok(None);
                };
                Ok(Some(FileAnswer::Whole(tail.after(Some(answer)))))
            }
            // Another file by now, whole.
            FileAnswer::Whole(answer) => Ok(Some(FileAnswer::Whole(answer))),
            FileAnswer::Refused(answer) => Ok(Some(FileAnswer::Refused(answer))),
            _ => Ok(None),
        }
    }
}
