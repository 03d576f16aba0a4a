//! How a command ends: one closed list of exit codes, and the message that goes with a failure.
//!
//! Data goes to standard output, everything else to standard error. The codes of verifying commands are part of the interface.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; verified.
    Ok = 0,
    /// What was verified is false; what was asked was refused.
    Invalid = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Malformed or unsupported input: nothing was decided about it.
    Undecidable = 3,
    /// A file, directory, address or server is not to be had.
    Unavailable = 4,
    /// Valid, but not anchored in a key that the reader trusts.
    NotAnchored = 5,
    /// The witnesses that the reader's policy asks for did not cosign.
    NoQuorum = 6,
    /// One key signed two histories.
    Fork = 7,
    /// Nothing new is shown for longer than the reader bears.
    Stale = 8,
}

impl Exit {
    /// The code with this number, if it is one of ours.
    pub fn from_code(code: u8) -> Self {
        let all = [
            Self::Ok,
            Self::Invalid,
            Self::Usage,
            Self::Undecidable,
            Self::Unavailable,
            Self::NotAnchored,
            Self::NoQuorum,
            Self::Fork,
            Self::Stale,
        ];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Self::Invalid)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: Option<String>,
}

impl Failure {
    /// With this code and message.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: Some(message.to_string()) }
    }

    /// Nobody reads what is printed: there is nobody to tell, either.
    pub fn quiet() -> Self {
        Self { exit: Exit::Unavailable, message: None }
    }

    /// What is to be said, if anything.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The same, and this too.
    pub fn and(self, more: impl fmt::Display) -> Self {
        let message = self.message.map_or_else(|| more.to_string(), |message| format!("{message}; {more}"));
        Self { message: Some(message), ..self }
    }

    /// Something outside is not to be had.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// The input cannot be read.
    pub fn undecidable(message: impl fmt::Display) -> Self {
        Self::new(Exit::Undecidable, message)
    }

    /// What was asked was refused.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Invalid, message)
    }

    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("nobody reads the output"))
    }
}
