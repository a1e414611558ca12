//! Fixed-width fields of headers, footers and stamps: a cursor that writes and one that reads.
//! Integers are big-endian.

/// Writes fields one behind the other.
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    /// Writes from the beginning of `bytes`, which are zeros.
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn put(&mut self, field: &[u8]) -> &mut Self {
        let (here, rest) = std::mem::take(&mut self.rest).split_at_mut(field.len());
        here.copy_from_slice(field);
        self.rest = rest;
        self
    }

    /// Leaves zeros for later versions.
    pub(crate) fn reserve(&mut self, length: usize) -> &mut Self {
        self.rest = &mut std::mem::take(&mut self.rest)[length..];
        self
    }
}

/// Reads fields one behind the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// # Panics
    /// When a fixed layout is read past its end.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (here, rest) = self.rest.split_first_chunk().expect("a fixed layout");
        self.rest = rest;
        *here
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    pub(crate) fn skip(&mut self, length: usize) -> &mut Self {
        self.rest = &self.rest[length..];
        self
    }
}
