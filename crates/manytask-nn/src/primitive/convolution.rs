/// The form of a [`Conv2d`](crate::layers::Conv2d).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Channels of the input.
    pub inputs: i64,
    /// Channels of the output.
    pub outputs: i64,
    /// Height and width of the kernel.
    pub kernel: i64,
    /// Pixels from one place to the next.
    pub stride: i64,
    /// Rows and columns of zeros around the picture.
    pub padding: i64,
    /// Pixels between the kernel's points.
    pub dilation: i64,
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Whether a number is added to each output channel.
    pub bias: bool,
}

impl ConvConfig {
    /// A square kernel with stride 1 that leaves the size as it is, where the kernel is odd.
    pub fn same(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: kernel / 2, dilation: 1, groups: 1, bias: true }
    }

    /// The size of one side of the output.
    pub fn size_after(&self, side: i64) -> i64 {
        (side + 2 * self.padding - self.dilation * (self.kernel - 1) - 1).div_euclid(self.stride) + 1
    }
}
