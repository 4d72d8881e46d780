//! Bugs that are planted to see whether the simulator finds them. Only builds with
//! `--cfg mutants` have any, and there none shows itself until it is chosen; in all others
//! `planted!` is `false`.

/// Whether the bug of this name is the one that was chosen.
#[cfg(not(mutants))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// Whether the bug of this name is the one that was chosen.
#[cfg(mutants)]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_chosen(const { $crate::planted::number($name) })
    };
}

#[cfg(mutants)]
pub use chosen::choose;
#[cfg(mutants)]
pub(crate) use chosen::{is_chosen, number};

#[cfg(mutants)]
mod chosen {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// The number of the name, or zero.
    static CHOSEN: AtomicU64 = AtomicU64::new(0);

    /// From now on every node of this process has the bug of this name.
    pub fn choose(name: &str) {
        CHOSEN.store(number(name), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_chosen(number: u64) -> bool {
        CHOSEN.load(Ordering::Relaxed) == number
    }

    /// FNV-1a: different for all names there are, or xtask would catch one with the other's oracle.
    pub(crate) const fn number(name: &str) -> u64 {
        let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325, 0);
        while at < name.len() {
            hash = (hash ^ name.as_bytes()[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        hash
    }
}
