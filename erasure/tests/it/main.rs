//! Layout against a naive model, and Reed-Solomon against every loss that it promises to bear.

extern crate strongroom_erasure as erasure;

mod code;
mod layout;
mod loss;
