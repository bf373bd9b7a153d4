//! The innermost loops: a tile of the result, at most [`Kernel::rows`] x [`Kernel::width`], held in registers.
//! They are those of the `gemm` crates.

use gemm_common::microkernel::MicroKernelFn;
use gemm_f32::microkernel;

use crate::vectorised::Instructions;

/// A family of inner loops for one set of instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// Numbers in a vector.
    lanes: usize,
    /// Most vectors side by side in a row of a tile.
    vectors: usize,
    /// Most rows of a tile.
    rows: usize,
    /// The loop for so many vectors and rows.
    pick: fn(usize, usize) -> MicroKernelFn<f32>,
}

macro_rules! kernel {
    ($module:ident, $lanes:literal) => {
        Kernel {
            lanes: $lanes,
            vectors: microkernel::$module::f32::MR_DIV_N,
            rows: microkernel::$module::f32::NR,
            pick: |vectors, rows| microkernel::$module::f32::UKR[vectors - 1][rows - 1],
        }
    };
}

impl Kernel {
    /// Those for [`Instructions::chosen`].
    pub(super) fn chosen() -> Self {
        match Instructions::chosen() {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => kernel!(avx512f, 16),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => kernel!(fma, 8),
            #[cfg(target_arch = "aarch64")]
            _ => kernel!(neon, 4),
            #[cfg(not(target_arch = "aarch64"))]
            _ => kernel!(scalar, 1),
        }
    }

    /// Columns of a panel.
    pub(super) fn width(self) -> usize {
        self.lanes * self.vectors
    }

    /// Most rows of a tile.
    pub(super) fn rows(self) -> usize {
        self.rows
    }

    /// Columns that a tile of `columns` reads of its panel.
    pub(super) fn read(self, columns: usize) -> usize {
        columns.next_multiple_of(self.lanes)
    }

    /// `c <- alpha a b`, or `c <- c + alpha a b`, for one tile; every entry is a sum in the order of `depth`.
    ///
    /// # Safety
    /// `1 <= rows <= self.rows()`, `1 <= columns <= self.width()`; `c` may be written at
    /// `row * c_stride + column` for all rows and columns, and overlaps neither `a` nor `b`, which may be read
    /// at `row * a_strides[0] + k * a_strides[1]`, and at `k * b_stride + j` for `j < self.read(columns)`, for all
    /// `k < depth`.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub(super) unsafe fn run(
        self,
        [rows, columns, depth]: [usize; 3],
        (c, c_stride): (*mut f32, usize),
        (a, a_strides): (*const f32, [usize; 2]),
        (b, b_stride): (*const f32, usize),
        alpha: f32,
        accumulate: bool,
    ) {
        let tile = (self.pick)(columns.div_ceil(self.lanes), rows);
        // The crate's matrices are column-major: its left factor is our right one.
        // SAFETY: what the caller promises.
        unsafe {
            tile(
                columns,
                rows,
                depth,
                c,
                b,
                a,
                c_stride as isize,
                1,
                b_stride as isize,
                a_strides[1] as isize,
                a_strides[0] as isize,
                1.0,
                alpha,
                u8::from(accumulate),
                false,
                false,
                false,
                std::ptr::null(),
            );
        }
    }
}
