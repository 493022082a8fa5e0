//! The name of a registration.
//!
//! Invariant: no value is reserved.

/// Identifies a registration: the caller chooses it, and each event of the registration carries it.
///
/// Every `usize` is a legal token, including `usize::MAX` and pointers; none is reserved. Two registrations may share
/// a token; their events are then indistinguishable.
///
/// ```
/// use wakeful::Token;
///
/// const LISTENER: Token = Token(0);
/// assert_eq!(usize::from(LISTENER), 0);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

impl From<Token> for usize {
    fn from(token: Token) -> usize {
        token.0
    }
}
