//! The risk limits and the ceilings that no configuration can exceed.

use core::hash::Hasher;
use holdfast_orders::Digest;
use holdfast_records::{E9, Symbol, Text};

const SECOND_NS: i64 = E9;
const PERCENT_E9: i64 = E9 / 100;

/// What a limit may be, and which way it is looser: compiled in, no configuration and no operator goes beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Least value.
    pub least: i64,
    /// Greatest value.
    pub greatest: i64,
    /// Whether a smaller value allows more: what must hold at least, or for at least so long.
    pub is_looser_below: bool,
}

impl Bounds {
    /// The bound at which the limit allows most.
    pub fn loosest(self) -> i64 {
        if self.is_looser_below {
            self.least
        } else {
            self.greatest
        }
    }

    /// Whether `value` allows more than `than`.
    pub fn is_looser(self, value: i64, than: i64) -> bool {
        if self.is_looser_below {
            value < than
        } else {
            value > than
        }
    }
}

const fn at_most(greatest: i64) -> Bounds {
    Bounds {
        least: 1,
        greatest,
        is_looser_below: false,
    }
}

const fn at_least(least: i64, greatest: i64) -> Bounds {
    Bounds {
        least,
        greatest,
        is_looser_below: true,
    }
}

/// Hands every limit to the macro `$apply`: `name = bounds;`, `at_most` its ceiling or `at_least` its floor.
///
/// `_e9` is USD, shares or a fraction times 1e9, `_ns` nanoseconds; the rest are counts.
#[macro_export]
macro_rules! for_each_limit {
    ($apply:ident) => {
        $apply! {
            /// Greatest quantity of one order.
            order_quantity_max_e9 = at_most(1_000_000 * E9);
            /// Greatest quantity of one order as a fraction of the average volume of twenty sessions.
            average_volume_share_max_e9 = at_most(10 * PERCENT_E9);
            /// Greatest notional of one order, USD.
            order_notional_max_e9 = at_most(10_000_000 * E9);
            /// Least price of an order, USD.
            price_min_e9 = at_least(E9 / 10_000, 1_000_000 * E9);
            /// Greatest price of an order, USD.
            price_max_e9 = at_most(10_000_000 * E9);
            /// Greatest distance of a price from the mid, as a fraction of the mid.
            price_collar_e9 = at_most(10 * PERCENT_E9);
            /// Distance from the mid at which a market order that reduces becomes a limit order.
            reduction_collar_e9 = at_most(20 * PERCENT_E9);
            /// Greatest change of the mid within the drift window, as a fraction.
            price_drift_max_e9 = at_most(10 * PERCENT_E9);
            /// The drift window.
            price_drift_window_ns = at_least(SECOND_NS, 3_600 * SECOND_NS);
            /// Greatest difference of a declared notional from quantity times price, as a fraction.
            notional_mismatch_max_e9 = at_most(5 * PERCENT_E9);
            /// Greatest age of the quote that an entry relies on.
            quote_age_max_ns = at_most(60 * SECOND_NS);
            /// Greatest spread, as a fraction of the mid.
            quote_spread_max_e9 = at_most(20 * PERCENT_E9);
            /// Greatest change of the mid from one quote to the next, as a fraction.
            quote_jump_max_e9 = at_most(50 * PERCENT_E9);
            /// How long entries stay denied after a jump.
            quote_jump_hold_ns = at_least(SECOND_NS / 1_000, 3_600 * SECOND_NS);
            /// How long bid and ask may be equal.
            quote_locked_max_ns = at_most(60 * SECOND_NS);
            /// Greatest position of one symbol, all its open orders filled.
            position_quantity_max_e9 = at_most(10_000_000 * E9);
            /// Greatest position of one symbol in USD, all its open orders filled.
            position_notional_max_e9 = at_most(100_000_000 * E9);
            /// Greatest sum of all positions regardless of side, USD, all open orders filled.
            gross_exposure_max_e9 = at_most(1_000_000_000 * E9);
            /// Greatest balance of long against short positions, USD, all open orders of one side filled.
            net_exposure_max_e9 = at_most(1_000_000_000 * E9);
            /// Greatest share of the equity in one symbol.
            concentration_max_e9 = at_most(E9);
            /// Greatest gross exposure as a multiple of the equity.
            leverage_max_e9 = at_most(4 * E9);
            /// Most symbols with a position or an open entry order.
            open_positions_max = at_most(500);
            /// Most open orders.
            open_orders_max = at_most(1_000);
            /// Greatest notional traded in a session, open orders included, USD.
            daily_notional_max_e9 = at_most(1_000_000_000 * E9);
            /// Sustained rate of approvals.
            order_rate_per_s_max = at_most(1_000);
            /// Approvals that may come at once.
            order_burst_max = at_most(1_000);
            /// How long the same request is held to be a repetition.
            duplicate_window_ns = at_least(SECOND_NS / 1_000, 60 * SECOND_NS);
            /// Most entries of one symbol within the repeat window.
            repeat_entries_max = at_most(1_000);
            /// The repeat window.
            repeat_window_ns = at_least(SECOND_NS, 3_600 * SECOND_NS);
            /// Most equal entries within the repeat window; one more switches the strategy off.
            repeat_identical_max = at_most(100);
            /// Most orders to close one position without its end; one more switches the strategy off.
            repeat_liquidations_max = at_most(100);
            /// Greatest loss of one trade if its stop is reached, USD.
            trade_loss_max_e9 = at_most(1_000_000 * E9);
            /// Stop distance assumed for an entry that brings no stop, as a fraction of its price.
            stop_loss_default_e9 = at_least(PERCENT_E9 / 100, 50 * PERCENT_E9);
            /// Least stop distance of an entry that brings a stop.
            stop_loss_min_e9 = at_least(PERCENT_E9 / 100, 50 * PERCENT_E9);
            /// Greatest stop distance of an entry that brings a stop.
            stop_loss_max_e9 = at_most(50 * PERCENT_E9);
            /// Distance of a protective stop from the average price, as a fraction of it.
            protection_stop_e9 = at_most(50 * PERCENT_E9);
            /// Greatest distance of a protective stop from the average price, USD a share.
            protection_distance_max_e9 = at_most(1_000_000 * E9);
            /// Greatest loss of a position if its protective stop is reached, USD.
            protection_loss_max_e9 = at_most(1_000_000 * E9);
            /// Distance at which a trailing protective stop follows the market, as a fraction.
            protection_trail_e9 = at_most(10 * PERCENT_E9);
            /// Gain from which on a protective stop trails, as a fraction of the average price.
            protection_trail_after_e9 = at_most(50 * PERCENT_E9);
            /// Distance of the profit order that the venue pairs with a protective stop, as a fraction.
            protection_profit_e9 = at_most(50 * PERCENT_E9);
            /// How long fills of one symbol are gathered before its stop is placed.
            protection_settle_ns = at_most(5 * SECOND_NS);
            /// How long a position may be without its stop.
            protection_within_ns = at_most(60 * SECOND_NS);
            /// How long an entry with legs may stay filled in part: the venue wakes its legs once it has filled whole.
            protection_bracket_rest_ns = at_most(30 * SECOND_NS);
            /// Protective stops in a row that the venue refuses before entries of the symbol stop.
            protection_rejects_max = at_most(100);
            /// Age at which a protective stop is placed anew: the venue ends orders after 90 days.
            protection_renew_ns = at_most(89 * 86_400 * SECOND_NS);
            /// Loss in a session that trips the breaker, USD.
            daily_loss_max_e9 = at_most(10_000_000 * E9);
            /// Loss in a session that trips the breaker, as a fraction of the equity it began with.
            daily_loss_share_max_e9 = at_most(10 * PERCENT_E9);
            /// Loss in a session that sets the kill latch, as a fraction of the equity it began with.
            daily_loss_kill_max_e9 = at_most(20 * PERCENT_E9);
            /// Loss in a week, USD.
            weekly_loss_max_e9 = at_most(50_000_000 * E9);
            /// Loss in a month, USD.
            monthly_loss_max_e9 = at_most(100_000_000 * E9);
            /// Loss from the greatest equity, as a fraction of it.
            drawdown_max_e9 = at_most(50 * PERCENT_E9);
            /// Losing round trips in a row.
            consecutive_losses_max = at_most(1_000);
            /// Orders in a row that the venue rejected.
            rejects_in_a_row_max = at_most(100);
            /// Rejected orders among the answered ones of a minute, as a fraction.
            reject_rate_max_e9 = at_most(90 * PERCENT_E9);
            /// Answers within a minute before their rate counts.
            reject_sample_min = at_most(100);
            /// Orders filled in a session.
            trades_per_day_max = at_most(1_000_000);
            /// How long a tripped breaker stays when it may clear itself.
            cool_down_ns = at_least(60 * SECOND_NS, 7 * 86_400 * SECOND_NS);
        }
    };
}

/// A strategy, a symbol, or a strategy's positions of a symbol that have no protective stop; an empty part means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiver {
    /// The strategy.
    pub strategy: Text<32>,
    /// The symbol.
    pub symbol: Symbol,
}

/// The waivers of protective stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waivers {
    waivers: [Waiver; Self::COUNT_MAX],
    count: usize,
}

impl Waivers {
    /// Most waivers.
    pub const COUNT_MAX: usize = 8;

    /// Takes waivers; nothing when there are too many, or one that names neither strategy nor symbol.
    pub fn new(waivers: &[Waiver]) -> Option<Self> {
        let mut taken = Self::default();
        for waiver in waivers {
            if waiver.strategy.is_empty() && waiver.symbol.is_empty() {
                return None;
            }
            *taken.waivers.get_mut(taken.count)? = *waiver;
            taken.count += 1;
        }
        Some(taken)
    }

    /// Every waiver.
    pub fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.waivers[..self.count].iter()
    }

    /// Whether a strategy's position of a symbol has no stop on purpose.
    pub fn covers(&self, strategy: Text<32>, symbol: Symbol) -> bool {
        self.iter().any(|waiver| {
            (waiver.strategy.is_empty() || waiver.strategy == strategy)
                && (waiver.symbol.is_empty() || waiver.symbol == symbol)
        })
    }
}

macro_rules! define_limits {
    ($($(#[$doc:meta])* $name:ident = $bounds:expr;)*) => {
        /// Every limit of the risk gate; the reason codes name the rules that hold them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct RiskLimits {
            $($(#[$doc])* pub $name: i64,)*
            /// Whether a sale may open or enlarge a short position.
            pub is_short_allowed: bool,
            /// Whether only an operator clears a tripped breaker; otherwise its cool-down does.
            pub is_resumed_by_operator: bool,
            /// Positions that have no protective stop on purpose.
            pub waivers: Waivers,
        }

        impl RiskLimits {
            /// Name and bounds of every limit.
            pub const BOUNDS: &'static [(&'static str, Bounds)] = &[$((stringify!($name), $bounds),)*];

            /// The loosest limits that can be built.
            pub fn loosest() -> Self {
                Self { $($name: $bounds.loosest(),)* is_short_allowed: true, is_resumed_by_operator: false, waivers: Waivers::default() }
            }

            /// A limit by name.
            pub fn get(&self, name: &str) -> Option<i64> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Every value, in the order of [`Self::BOUNDS`].
            pub fn values(&self) -> [i64; Self::BOUNDS.len()] {
                [$(self.$name,)*]
            }

            /// Sets a limit by name; false when there is none of that name.
            pub fn set(&mut self, name: &str, value: i64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}
for_each_limit!(define_limits);

/// A limit that must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOutOfBounds {
    /// Name of the limit.
    pub name: &'static str,
    /// What it was set to.
    pub value: i64,
    /// Least value allowed.
    pub least: i64,
    /// Greatest value allowed.
    pub greatest: i64,
}

impl core::fmt::Display for LimitOutOfBounds {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            name,
            value,
            least,
            greatest,
        } = self;
        write!(formatter, "{name} must be between {least} and {greatest}, not {value}")
    }
}

impl RiskLimits {
    /// Returns the limits if each lies within its bounds and pairs are in order.
    pub fn validated(self) -> Result<Self, LimitOutOfBounds> {
        for (&(name, bounds), value) in Self::BOUNDS.iter().zip(self.values()) {
            let Bounds { least, greatest, .. } = bounds;
            if value < least || value > greatest {
                return Err(LimitOutOfBounds {
                    name,
                    value,
                    least,
                    greatest,
                });
            }
        }
        let ordered = [
            ("price_min_e9", self.price_min_e9, 1, self.price_max_e9),
            ("stop_loss_min_e9", self.stop_loss_min_e9, 1, self.stop_loss_default_e9),
            (
                "stop_loss_max_e9",
                self.stop_loss_max_e9,
                self.stop_loss_default_e9,
                i64::MAX,
            ),
            (
                "protection_stop_e9",
                self.protection_stop_e9,
                self.stop_loss_min_e9,
                self.stop_loss_max_e9,
            ),
            (
                "protection_settle_ns",
                self.protection_settle_ns,
                1,
                self.protection_within_ns,
            ),
            (
                "protection_bracket_rest_ns",
                self.protection_bracket_rest_ns,
                1,
                self.protection_within_ns,
            ),
            (
                "daily_loss_kill_max_e9",
                self.daily_loss_kill_max_e9,
                self.daily_loss_share_max_e9,
                i64::MAX,
            ),
            (
                "weekly_loss_max_e9",
                self.weekly_loss_max_e9,
                self.daily_loss_max_e9,
                i64::MAX,
            ),
            (
                "monthly_loss_max_e9",
                self.monthly_loss_max_e9,
                self.weekly_loss_max_e9,
                i64::MAX,
            ),
        ];
        for (name, value, least, greatest) in ordered {
            if value < least || value > greatest {
                return Err(LimitOutOfBounds {
                    name,
                    value,
                    least,
                    greatest,
                });
            }
        }
        Ok(self)
    }

    /// Hash that every Decision carries; changes with any limit.
    pub fn hash(&self) -> u64 {
        let mut digest = Digest::default();
        for value in self.values() {
            digest.write_i64(value);
        }
        digest.write_u8(u8::from(self.is_short_allowed));
        digest.write_u8(u8::from(self.is_resumed_by_operator));
        for waiver in self.waivers.iter() {
            digest.write(bytemuck::bytes_of(&waiver.strategy));
            digest.write(bytemuck::bytes_of(&waiver.symbol));
        }
        digest.finish() >> 1
    }
}
