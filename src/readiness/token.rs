/// Names a registration: chosen by the caller, returned in each of its events.
///
/// Every `usize` is legal, `usize::MAX` and the values of pointers included; nothing is reserved. Two
/// registrations may share a token; their events then can't be told apart.
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
