//! A stand-in for the vendor's servers, with virtual phones.
