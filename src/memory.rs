//! Memory of the size of a layer's activations is asked for and given back at every layer and step.
//! Left to itself the C library returns it to the kernel each time and faults every page in again:
//! 40 % of a training step of CRATE-Base on one image. An arena per thread would keep a step's
//! activations once per thread that ever ran one, and the C library unmaps the heaps of all but the
//! main arena as soon as they are empty, whatever it is told: hence one arena.

/// Tells the C library to keep what is freed, in one arena for all threads. Does nothing where that is
/// not glibc.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        /// glibc's malloc.h; the value is the most it takes.
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_THRESHOLD: c_int = -3;
        const ARENA_MAX: c_int = -8;
        const LARGEST: c_int = 32 << 20;
        // SAFETY: glibc exports this function with this signature (malloc.h); it takes any values,
        // says no by its result, and is safe to call while other threads allocate.
        unsafe {
            mallopt(MMAP_THRESHOLD, LARGEST);
            mallopt(TRIM_THRESHOLD, c_int::MAX);
            mallopt(ARENA_MAX, 1);
        }
    }
}
