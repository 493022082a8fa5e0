//! What one family of operating systems has beside sources.
