//! An open file handed from one process to another over their socket (unix(7), SCM_RIGHTS), with one byte beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

pub async fn send(to: &UnixStream, passed: &OwnedFd) -> io::Result<()> {
    to.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let passed = [passed.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
        sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
        Ok(())
    })
    .await
}

/// What was sent; the frames before it must have been read to their ends.
pub fn receive(from: &BlockingStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut beside = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut beside)], &mut ancillary, RecvFlags::empty())?;
    let passed = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    passed.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[tokio::test]
    async fn a_passed_file_is_the_same_file() {
        let (service, engine) = UnixStream::pair().unwrap();
        let engine = engine.into_std().unwrap();
        engine.set_nonblocking(false).unwrap();
        let (mut ours, theirs) = BlockingStream::pair().unwrap();
        send(&service, &theirs.into()).await.unwrap();
        let mut received = BlockingStream::from(receive(&engine).unwrap());
        received.write_all(b"word").unwrap();
        drop(received);
        let mut heard = String::new();
        ours.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "word");
    }

    #[tokio::test]
    async fn a_byte_without_a_file_is_an_error() {
        let (mut service, engine) = BlockingStream::pair().unwrap();
        service.write_all(b"0").unwrap();
        assert_eq!(receive(&engine).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
