//! Errors by name, as results and counters write them. Must not explain them.

use std::io;

/// The errno by name (`EMFILE`, `ECONNREFUSED`); for an error that is not of the system, its
/// kind in snake case (`unexpected_eof`); for a number that Linux does not name, `errno_1234`.
#[must_use]
pub fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => NAMES
            .iter()
            .find(|(number, _)| *number == code)
            .map_or_else(|| format!("errno_{code}"), |(_, name)| (*name).to_owned()),
        None => snake_case(&format!("{:?}", error.kind())),
    }
}

fn snake_case(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for (index, letter) in camel.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Pairs each name with its number on this architecture.
macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// errno(3). Second names of one number (`EWOULDBLOCK`, `EDEADLOCK`, `ENOTSUP`) are left out.
#[rustfmt::skip]
static NAMES: &[(i32, &str)] = names![
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOMSG EIDRM ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP
    EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET
    ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
    ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED
    EOWNERDEAD ENOTRECOVERABLE
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        for (code, expected) in
            [(24, "EMFILE"), (23, "ENFILE"), (11, "EAGAIN"), (111, "ECONNREFUSED"), (99, "EADDRNOTAVAIL")]
        {
            assert_eq!(name(&io::Error::from_raw_os_error(code)), expected);
        }
        assert_eq!(name(&io::Error::from_raw_os_error(7777)), "errno_7777");
    }

    #[test]
    fn errors_of_our_own_are_named_by_kind() {
        assert_eq!(name(&io::ErrorKind::UnexpectedEof.into()), "unexpected_eof");
        assert_eq!(name(&io::ErrorKind::WriteZero.into()), "write_zero");
    }

    #[test]
    fn no_number_has_two_names() {
        let mut numbers: Vec<i32> = NAMES.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), NAMES.len());
    }
}
