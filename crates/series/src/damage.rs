//! What is wrong with bytes that are no block.

/// The bytes are not what was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// There are fewer bytes than the block says.
    #[error("it ends too early")]
    Short,
    /// The checksum does not fit the bytes.
    #[error("its checksum does not fit")]
    Checksum,
    /// A newer version has written it, or it is something else.
    #[error("it has another format")]
    Format,
    /// The checksum fits, but the content contradicts itself.
    #[error("its content contradicts itself")]
    Content,
}
