//! Functions compiled several times, for what processors have, and the one place that chooses.

use std::sync::atomic::{AtomicU8, Ordering};

/// Instructions that this program has code for, from the fewest to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Instructions {
    /// What every processor of the architecture has.
    Baseline = 1,
    /// 256-bit vectors: AVX2 and FMA.
    Avx2 = 2,
    /// 512-bit vectors: AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
}

/// 0 before the first question.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Instructions {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// The most that this processor has.
    pub fn most() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                let wide = std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq")
                    && std::is_x86_feature_detected!("avx512vl");
                return if wide { Self::Avx512 } else { Self::Avx2 };
            }
        }
        Self::Baseline
    }

    /// Those in use: [`Instructions::most`], unless [`Instructions::limit`] said less.
    #[inline]
    pub fn chosen() -> Self {
        #[cfg(test)]
        if let Some(limit) = tests::LIMIT.get() {
            return Self::most().min(limit);
        }
        match CHOSEN.load(Ordering::Relaxed) {
            1 => Self::Baseline,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => Self::limit(Self::Avx512),
        }
    }

    /// From now on uses at most `limit`, and returns what that comes to on this processor: to compare them.
    /// Results do not depend on it.
    pub fn limit(limit: Self) -> Self {
        let chosen = Self::most().min(limit);
        CHOSEN.store(chosen as u8, Ordering::Relaxed);
        chosen
    }
}

impl std::fmt::Display for Instructions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Baseline => std::env::consts::ARCH,
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        })
    }
}

/// Runs a function compiled for [`Instructions::chosen`]. The arithmetic is the same everywhere: Rust never
/// contracts a product and a sum by itself, never reorders a sum, and `mul_add` rounds once on any processor
/// (slowly on one without FMA). What the function calls has to be inlined to be compiled with it.
macro_rules! vectorised {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::vectorised::Instructions;
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2($($arg: $type),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                unsafe fn avx512($($arg: $type),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                match Instructions::chosen() {
                    // SAFETY: `chosen` is never more than what `most` found on this processor.
                    Instructions::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Instructions::Avx2 => return unsafe { avx2($($arg),*) },
                    Instructions::Baseline => {}
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::Instructions;

    thread_local! {
        pub(super) static LIMIT: Cell<Option<Instructions>> = const { Cell::new(None) };
    }

    /// What `work` gives on one thread that uses at most the instructions `limit`.
    pub(crate) fn with<T: Send>(limit: Instructions, work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        pool.install(|| {
            LIMIT.set(Some(limit));
            work()
        })
    }

    #[test]
    fn a_limit_holds_for_its_work() {
        for limit in Instructions::ALL {
            let most = Instructions::most().min(limit);
            assert_eq!(with(limit, Instructions::chosen), most);
        }
        assert_eq!(Instructions::chosen(), Instructions::most());
    }
}
