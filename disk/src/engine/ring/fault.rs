//! How tests break a ring. In every other build nothing of it is left.

pub(crate) use planted::Fault;
#[cfg(test)]
pub(crate) use planted::How;

#[cfg(not(test))]
mod planted {
    use std::io;
    use std::time::Duration;

    /// No fault.
    pub(crate) struct Fault;

    impl Fault {
        pub(crate) fn none() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn before_call(&mut self) -> io::Result<()> {
            Ok(())
        }

        #[inline]
        pub(crate) fn after_call(&mut self) -> io::Result<()> {
            Ok(())
        }

        #[inline]
        pub(crate) fn patience(&self, usual: Duration) -> Duration {
            usual
        }

        #[inline]
        pub(crate) fn is_deaf(&self) -> bool {
            false
        }
    }
}

#[cfg(test)]
mod planted {
    use std::io;
    use std::time::Duration;

    /// How the ring breaks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum How {
        /// The call is refused before the kernel takes anything; what it took before completes.
        Refused,
        /// The kernel takes what was pushed, then the call fails; what it took completes.
        Taken,
        /// The kernel takes what was pushed, then the call fails, and no completion is seen any more.
        Deaf,
        /// The kernel denies the call to the ring's thread from now on.
        Denied,
    }

    /// How the ring breaks, and at which of its calls.
    pub(crate) struct Fault {
        planted: Option<(How, u32)>,
        calls: u32,
    }

    impl Fault {
        pub(crate) fn none() -> Self {
            Self {
                planted: None,
                calls: 0,
            }
        }

        pub(crate) fn at(how: How, call: u32) -> Self {
            Self {
                planted: Some((how, call)),
                calls: 0,
            }
        }

        fn due(&self) -> Option<How> {
            self.planted
                .filter(|(_, call)| *call < self.calls)
                .map(|(how, _)| how)
        }

        pub(crate) fn before_call(&mut self) -> io::Result<()> {
            self.calls += 1;
            match self.due() {
                Some(How::Refused) => Err(io::Error::other("planted before the call")),
                Some(How::Denied) => deny_calls(),
                _ => Ok(()),
            }
        }

        pub(crate) fn after_call(&mut self) -> io::Result<()> {
            match self.due() {
                Some(How::Taken | How::Deaf) => Err(io::Error::other("planted after the call")),
                _ => Ok(()),
            }
        }

        pub(crate) fn patience(&self, usual: Duration) -> Duration {
            match self.due() {
                Some(How::Deaf | How::Denied) => Duration::from_millis(20),
                _ => usual,
            }
        }

        pub(crate) fn is_deaf(&self) -> bool {
            self.due() == Some(How::Deaf)
        }
    }

    /// Has the kernel refuse io_uring_enter to this thread, for life.
    fn deny_calls() -> io::Result<()> {
        const NUMBER_AT: u32 = 0;
        let instruction = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
            code: u16::try_from(code).expect("a BPF opcode has 16 bits"),
            jt,
            jf,
            k,
        };
        let enter = u32::try_from(libc::SYS_io_uring_enter).expect("a system call's number");
        let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("positive");
        let mut program = [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_AT, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, enter, 0, 1),
            instruction(libc::BPF_RET | libc::BPF_K, refused, 0, 0),
            instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let filter = libc::sock_fprog {
            len: u16::try_from(program.len()).expect("four instructions"),
            filter: program.as_mut_ptr(),
        };
        // SAFETY: this option takes integers only. Without it an unprivileged filter is refused.
        let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(unprivileged, 0, "{}", io::Error::last_os_error());
        // SAFETY: `filter` points to `program`, both outlive the call, and the kernel copies them.
        let installed = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            )
        };
        assert_eq!(installed, 0, "{}", io::Error::last_os_error());
        Ok(())
    }
}
