//! The rules of the risk gate: one function a rule, in the order in which they are asked.

use crate::counters::Usage;
use crate::gate::{Clock, Gate};
use crate::margin::margin_regime;
use crate::pricing::increment_e9;
use crate::proposal::{Proposal, invalid_value};
use crate::symbol::SymbolState;
use holdfast_orders::Order;
use holdfast_records::{E9, IntentAction, OrderIntent, Reason, Side, TimeInForce, TradingStateCode, notional_e9};

/// A long weekend, a day in which the venue answers nothing, and a day.
const AVERAGE_VOLUME_AGE_MAX_NS: i64 = 7 * 86_400 * E9;
/// What can be borrowed changes from day to day; execution-engine asks each hour.
const SHORTABLE_AGE_MAX_NS: i64 = 86_400 * E9;

/// Everything a rule may look at.
pub(crate) struct Question<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) intent: &'a OrderIntent,
    pub(crate) proposal: &'a Proposal,
    pub(crate) state: &'a SymbolState,
    pub(crate) clock: Clock,
}

/// A rule gives the limit and the value if the proposal breaks it.
type Rule = fn(&Question<'_>) -> Option<Usage>;

/// Makes the function that asks rules in order and gives the first that is broken; the compiler sees through each.
macro_rules! rules {
    ($(#[$doc:meta])* $table:ident { $($reason:ident => $rule:expr,)* }) => {
        $(#[$doc])*
        fn $table(question: &Question<'_>) -> Option<(Reason, Usage)> {
            $(
                let rule: Rule = $rule;
                if let Some(usage) = rule(question) {
                    return Some((Reason::$reason, usage));
                }
            )*
            None
        }
    };
}

rules! {
/// Rules that hold for every order, reductions included.
every_order {
    INTENT_INVALID => intent_invalid,
    INTENT_EXPIRED => intent_expired,
    ORDER_UNKNOWN => replaces_unknown,
    NOTIONAL_MISMATCH => notional_mismatch,
    QUANTITY_AVAILABLE => quantity_available,
    FLIP_THROUGH_ZERO => flip_through_zero,
    SESSION_CLOSED => would_queue,
}}

rules! {
/// Rules that hold for entries: whatever is not certainly a reduction.
entries {
    KILL_LATCH => |q| q.gate.is_latched().then_some(Usage::default()),
    STATE_HALTED => |q| { (q.gate.state() == TradingStateCode::HALTED).then_some(Usage::default()) },
    NOT_RECONCILED => |q| { (!q.gate.is_reconciled()).then_some(Usage::default()) },
    ACCOUNT_BLOCKED => |q| { q.gate.counters.account.is_trading_blocked.then_some(Usage::default()) },
    DAILY_LOSS_KILL => |q| q.breaker(Reason::DAILY_LOSS_KILL),
    DAILY_LOSS => |q| q.breaker(Reason::DAILY_LOSS),
    WEEKLY_LOSS => |q| q.breaker(Reason::WEEKLY_LOSS),
    MONTHLY_LOSS => |q| q.breaker(Reason::MONTHLY_LOSS),
    DRAWDOWN => |q| q.breaker(Reason::DRAWDOWN),
    CONSECUTIVE_LOSSES => |q| q.breaker(Reason::CONSECUTIVE_LOSSES),
    TRADES_PER_DAY => trades_per_day,
    REJECTS_IN_A_ROW => |q| q.breaker(Reason::REJECTS_IN_A_ROW),
    REJECT_RATE => |q| q.breaker(Reason::REJECT_RATE),
    STATE_REDUCING => |q| { (q.gate.state() == TradingStateCode::REDUCING).then_some(Usage::default()) },
    STRATEGY_DISABLED => |q| { q.gate.switched_off(q.intent.strategy).map(|off| off.usage) },
    SYMBOL_UNKNOWN => |q| { (!q.state.is_configured).then_some(Usage::default()) },
    PROTECTION_MISSING => |q| q.state.guard.blocked(q.gate.limits.protection_rejects_max),
    SYMBOL_HALTED => |q| q.state.is_halted.then_some(Usage::default()),
    SESSION_CLOSED => session_closed,
    BLACKOUT => blackout,
    QUOTE_MISSING => |q| { (!q.state.has_quote()).then_some(Usage::default()) },
    GAP_UNREPAIRED => |q| q.state.has_gap.then_some(Usage::default()),
    QUOTE_STALE => quote_stale,
    QUOTE_CROSSED => quote_crossed,
    QUOTE_LOCKED => quote_locked,
    QUOTE_WIDE => quote_wide,
    QUOTE_JUMPED => quote_jumped,
    MARKET_UNPRICED => market_unpriced,
    PRICE_DRIFT => price_drift,
    PRICE_RANGE => price_range,
    PRICE_COLLAR => price_collar,
    PRICE_INCREMENT => price_increment,
    SHORT_DISALLOWED => short_disallowed,
    ORDER_QUANTITY => |q| { beyond(q.gate.limits.order_quantity_max_e9, q.proposal.quantity_e9) },
    AVERAGE_VOLUME => average_volume,
    ORDER_NOTIONAL => |q| { beyond(q.gate.limits.order_notional_max_e9, q.proposal.notional_e9) },
    INTENT_INVALID => stop_distance,
    TRADE_LOSS => trade_loss,
    POSITION_QUANTITY => position_quantity,
    POSITION_NOTIONAL => |q| { beyond(q.gate.limits.position_notional_max_e9, q.symbol_exposure_e9()) },
    CONCENTRATION => |q| { q.share_of_equity(q.gate.limits.concentration_max_e9, q.symbol_exposure_e9()) },
    GROSS_EXPOSURE => |q| { beyond(q.gate.limits.gross_exposure_max_e9, q.gross_exposure_e9()) },
    NET_EXPOSURE => net_exposure,
    LEVERAGE => |q| { q.share_of_equity(q.gate.limits.leverage_max_e9, q.gross_exposure_e9()) },
    MARGIN_REGIME => margin_regime,
    BUYING_POWER => buying_power,
    OPEN_POSITIONS => open_positions,
    OPEN_ORDERS => |q| { beyond_count(q.gate.limits.open_orders_max, q.gate.totals.open_orders + 1) },
    DAILY_NOTIONAL => daily_notional,
    SELF_TRADE => self_trade,
    DUPLICATE_INTENT => duplicate_intent,
    REPEAT_IDENTICAL => repeat_identical,
    REPEAT_EXECUTION => repeat_execution,
    ORDER_RATE => order_rate,
}}

impl Question<'_> {
    /// The first rule that the proposal breaks.
    pub(crate) fn broken_rule(&self) -> Option<(Reason, Usage)> {
        every_order(self).or_else(|| {
            if self.proposal.is_reduction {
                None
            } else {
                entries(self)
            }
        })
    }

    fn breaker(&self, rule: Reason) -> Option<Usage> {
        if let Some(usage) = self.gate.tripped_usage(rule) {
            return Some(usage);
        }
        let usage = self.gate.usage(rule);
        usage.is_exceeded().then_some(usage)
    }

    /// Exposure of the symbol with this order, on the worse side.
    fn symbol_exposure_e9(&self) -> i64 {
        let (long_e9, short_e9) = self.symbol_sides_e9();
        long_e9.max(short_e9)
    }

    fn symbol_sides_e9(&self) -> (i64, i64) {
        let added_e9 = self.proposal.notional_e9;
        let worst = self.gate.worst_of(self.proposal.symbol);
        if self.proposal.is_buy {
            (worst.long_e9.saturating_add(added_e9), worst.short_e9)
        } else {
            (worst.long_e9, worst.short_e9.saturating_add(added_e9))
        }
    }

    pub(crate) fn gross_exposure_e9(&self) -> i64 {
        let before_e9 = self.gate.worst_of(self.proposal.symbol).exposure_e9;
        self.gate
            .totals
            .gross_e9
            .saturating_sub(before_e9)
            .saturating_add(self.symbol_exposure_e9())
    }

    /// Compares an amount with a share of the equity; without a positive equity nothing is allowed.
    fn share_of_equity(&self, limit_e9: i64, amount_e9: i64) -> Option<Usage> {
        let equity_e9 = i128::from(self.gate.counters.account.equity_e9.max(0));
        let scaled = i128::from(amount_e9) * i128::from(E9);
        if scaled <= equity_e9 * i128::from(limit_e9) {
            return None;
        }
        let value = if equity_e9 > 0 {
            (scaled + equity_e9 - 1) / equity_e9
        } else {
            i128::from(i64::MAX)
        };
        Some(Usage {
            limit_e9,
            value_e9: i64::try_from(value).unwrap_or(i64::MAX),
        })
    }
}

fn beyond(limit_e9: i64, value_e9: i64) -> Option<Usage> {
    let usage = Usage { limit_e9, value_e9 };
    usage.is_exceeded().then_some(usage)
}

fn beyond_count(limit: i64, count: i64) -> Option<Usage> {
    let usage = Usage::of_count(limit, count);
    usage.is_exceeded().then_some(usage)
}

/// Compares the distance of a price from a base with a fraction of the base.
fn distance(price_e9: i64, base_e9: i64, limit_e9: i64) -> Option<Usage> {
    let distance_e9 = i128::from(price_e9.abs_diff(base_e9)) * i128::from(E9);
    if distance_e9 <= i128::from(base_e9) * i128::from(limit_e9) {
        return None;
    }
    let base_e9 = i128::from(base_e9.max(1));
    let value = (distance_e9 + base_e9 - 1) / base_e9;
    Some(Usage {
        limit_e9,
        value_e9: i64::try_from(value).unwrap_or(i64::MAX),
    })
}

fn intent_invalid(q: &Question<'_>) -> Option<Usage> {
    if let Some(value_e9) = invalid_value(q.intent) {
        return Some(Usage { limit_e9: 0, value_e9 });
    }
    (q.proposal.quantity_e9 <= 0 && q.state.has_quote()).then_some(Usage::default())
}

fn intent_expired(q: &Question<'_>) -> Option<Usage> {
    let expires_ns = q.intent.expires_ns;
    (expires_ns != 0 && q.clock.now_ns > expires_ns).then_some(Usage {
        limit_e9: 0,
        value_e9: q.clock.now_ns - expires_ns,
    })
}

/// A replace must name an order of ours, of the same symbol and side, that is not proven to have ended.
fn replaces_unknown(q: &Question<'_>) -> Option<Usage> {
    if q.intent.action != IntentAction::REPLACE {
        return None;
    }
    let fits = |order: &Order| {
        !order.is_protective() && order.is_open() && order.symbol == q.intent.symbol && order.side == q.intent.side
    };
    (!q.gate.target_of(q.intent).is_some_and(fits)).then_some(Usage::default())
}

fn notional_mismatch(q: &Question<'_>) -> Option<Usage> {
    if q.intent.notional_e9 == 0 || q.proposal.ordered_quantity_e9 == 0 {
        return None;
    }
    let own_price_e9 = if q.proposal.limit_price_e9 > 0 {
        q.proposal.limit_price_e9
    } else {
        q.state.mark_price_e9()
    };
    distance(
        q.intent.notional_e9,
        notional_e9(own_price_e9, q.proposal.ordered_quantity_e9),
        q.gate.limits.notional_mismatch_max_e9,
    )
}

/// What open orders reserve of a position cannot be closed a second time.
fn quantity_available(q: &Question<'_>) -> Option<Usage> {
    let fits_position = q.proposal.quantity_e9 <= q.state.position.quantity_e9.abs();
    (q.proposal.is_opposite && fits_position)
        .then(|| beyond(q.proposal.closable_e9, q.proposal.quantity_e9))
        .flatten()
}

/// The venue takes no order through zero, and a reduce-only order must be a reduction.
fn flip_through_zero(q: &Question<'_>) -> Option<Usage> {
    let must_reduce = q.proposal.is_opposite || q.intent.is_reduce_only != 0;
    (must_reduce && !q.proposal.is_reduction).then_some(Usage {
        limit_e9: q.proposal.closable_e9,
        value_e9: q.proposal.quantity_e9,
    })
}

fn trades_per_day(q: &Question<'_>) -> Option<Usage> {
    let worst = q.gate.counters.trades_today + q.gate.totals.unfilled_entries + 1;
    q.gate
        .tripped_usage(Reason::TRADES_PER_DAY)
        .or_else(|| beyond_count(q.gate.limits.trades_per_day_max, worst))
}

fn session_closed(q: &Question<'_>) -> Option<Usage> {
    let is_open = q.state.is_crypto || q.gate.calendar.session_at(q.clock.session_ns).is_some();
    (!is_open).then_some(Usage {
        limit_e9: 0,
        value_e9: q.clock.session_ns,
    })
}

/// A reduction that can only queue for the next session is none; who means a later session says so by time in force.
fn would_queue(q: &Question<'_>) -> Option<Usage> {
    let waits = matches!(
        q.intent.time_in_force,
        TimeInForce::GTC | TimeInForce::OPG | TimeInForce::CLS
    );
    if q.state.is_crypto || waits || q.intent.action != IntentAction::NEW {
        return None;
    }
    let calendar = &q.gate.calendar;
    let is_open = if q.intent.is_extended_hours != 0 {
        calendar.is_extended_at(q.clock.session_ns)
    } else {
        calendar.session_at(q.clock.session_ns).is_some()
    };
    (q.proposal.is_reduction && !is_open).then_some(Usage {
        limit_e9: 0,
        value_e9: q.clock.session_ns,
    })
}

fn blackout(q: &Question<'_>) -> Option<Usage> {
    if q.state.is_crypto {
        return None;
    }
    let window = q.gate.calendar.blackout_at(q.clock.session_ns)?;
    Some(Usage {
        limit_e9: window.end_ns,
        value_e9: q.clock.session_ns,
    })
}

fn quote_stale(q: &Question<'_>) -> Option<Usage> {
    beyond(q.gate.limits.quote_age_max_ns, q.clock.now_ns - q.state.quote_ns)
}

fn quote_crossed(q: &Question<'_>) -> Option<Usage> {
    let (bid_e9, ask_e9) = (q.state.bid_price_e9, q.state.ask_price_e9);
    (bid_e9 > ask_e9).then_some(Usage {
        limit_e9: ask_e9,
        value_e9: bid_e9,
    })
}

fn quote_locked(q: &Question<'_>) -> Option<Usage> {
    if q.state.locked_since_ns == 0 {
        return None;
    }
    beyond(
        q.gate.limits.quote_locked_max_ns,
        q.clock.now_ns - q.state.locked_since_ns,
    )
}

fn quote_wide(q: &Question<'_>) -> Option<Usage> {
    let spread_e9 = q.state.ask_price_e9 - q.state.bid_price_e9;
    let mid_e9 = q.state.mid_price_e9();
    distance(
        mid_e9.saturating_add(spread_e9),
        mid_e9,
        q.gate.limits.quote_spread_max_e9,
    )
}

fn quote_jumped(q: &Question<'_>) -> Option<Usage> {
    let is_recent = q.state.jumped_ns != 0 && q.clock.now_ns - q.state.jumped_ns < q.gate.limits.quote_jump_hold_ns;
    is_recent.then_some(Usage {
        limit_e9: q.gate.limits.quote_jump_max_e9,
        value_e9: q.state.jump_e9,
    })
}

/// No entry without a price it cannot exceed: a trailing stop has none, and a market order none without a quote.
fn market_unpriced(q: &Question<'_>) -> Option<Usage> {
    (q.proposal.capped_price_e9() == 0).then_some(Usage::default())
}

/// The market may have moved only so far within the window, whichever way.
fn price_drift(q: &Question<'_>) -> Option<Usage> {
    let limits = &q.gate.limits;
    let (low_e9, high_e9) = q.state.mids.range_e9(q.clock.now_ns, limits.price_drift_window_ns)?;
    let mid_e9 = q.state.mid_price_e9();
    distance(mid_e9, low_e9, limits.price_drift_max_e9).or_else(|| distance(mid_e9, high_e9, limits.price_drift_max_e9))
}

/// A price between two increments of the venue is nobody's price.
fn price_increment(q: &Question<'_>) -> Option<Usage> {
    if q.state.is_crypto {
        return None;
    }
    [q.proposal.limit_price_e9, q.proposal.stop_price_e9]
        .into_iter()
        .find_map(|value_e9| {
            let limit_e9 = increment_e9(value_e9);
            (value_e9 % limit_e9 != 0).then_some(Usage { limit_e9, value_e9 })
        })
}

fn price_range(q: &Question<'_>) -> Option<Usage> {
    let limits = &q.gate.limits;
    for price_e9 in [
        q.proposal.limit_price_e9,
        q.proposal.stop_price_e9,
        q.proposal.worst_price_e9,
    ] {
        if price_e9 != 0 && price_e9 < limits.price_min_e9 {
            return Some(Usage {
                limit_e9: limits.price_min_e9,
                value_e9: price_e9,
            });
        }
        if price_e9 > limits.price_max_e9 {
            return Some(Usage {
                limit_e9: limits.price_max_e9,
                value_e9: price_e9,
            });
        }
    }
    None
}

/// Prices stay near the mid, and inside the venue's limit-up-limit-down band where there is one.
fn price_collar(q: &Question<'_>) -> Option<Usage> {
    for price_e9 in [q.proposal.limit_price_e9, q.proposal.stop_price_e9] {
        if price_e9 == 0 {
            continue;
        }
        if let Some(usage) = distance(price_e9, q.state.mid_price_e9(), q.gate.limits.price_collar_e9) {
            return Some(usage);
        }
        if q.state.luld_up_e9 > 0 && price_e9 > q.state.luld_up_e9 {
            return Some(Usage {
                limit_e9: q.state.luld_up_e9,
                value_e9: price_e9,
            });
        }
        if price_e9 < q.state.luld_down_e9 {
            return Some(Usage {
                limit_e9: q.state.luld_down_e9,
                value_e9: price_e9,
            });
        }
    }
    None
}

/// A short needs the limits' leave, the account's, and a word of the venue on the symbol that is not too old.
fn short_disallowed(q: &Question<'_>) -> Option<Usage> {
    if q.intent.side != Side::SELL {
        return None;
    }
    let is_allowed =
        q.gate.limits.is_short_allowed && q.gate.counters.account.is_shorting_enabled && !q.state.is_crypto;
    if !is_allowed || q.state.shortable_ns == 0 {
        return Some(Usage {
            limit_e9: 0,
            value_e9: q.proposal.quantity_e9,
        });
    }
    beyond(SHORTABLE_AGE_MAX_NS, q.clock.now_ns - q.state.shortable_ns)
}

/// An average that is not known, or whose newest session is more than a week old, allows nothing. Crypto has no volume
/// of the whole market.
fn average_volume(q: &Question<'_>) -> Option<Usage> {
    if q.state.is_crypto {
        return None;
    }
    let is_old = q.clock.session_ns - q.state.average_volume_ns > AVERAGE_VOLUME_AGE_MAX_NS;
    let limit_e9 = if is_old {
        0
    } else {
        notional_e9(q.state.average_volume_e9, q.gate.limits.average_volume_share_max_e9)
    };
    beyond(limit_e9, q.proposal.quantity_e9)
}

fn stop_distance(q: &Question<'_>) -> Option<Usage> {
    let stop_e9 = q.intent.stop_loss_price_e9;
    if stop_e9 == 0 {
        return None;
    }
    let price_e9 = q.proposal.worst_price_e9;
    let limits = &q.gate.limits;
    if let Some(usage) = distance(stop_e9, price_e9, limits.stop_loss_max_e9) {
        return Some(usage);
    }
    let distance_e9 = i128::from(stop_e9.abs_diff(price_e9)) * i128::from(E9);
    let is_near = distance_e9 < i128::from(price_e9) * i128::from(limits.stop_loss_min_e9);
    let is_wrong_side = (stop_e9 < price_e9) != q.proposal.is_buy;
    (is_near || is_wrong_side).then_some(Usage {
        limit_e9: limits.stop_loss_min_e9,
        value_e9: stop_e9 - price_e9,
    })
}

/// What the order loses if its stop, or the assumed one, is reached.
fn trade_loss(q: &Question<'_>) -> Option<Usage> {
    let limits = &q.gate.limits;
    let loss_e9 = match q.intent.stop_loss_price_e9 {
        0 => notional_e9(q.proposal.notional_e9, limits.stop_loss_default_e9),
        stop_e9 => notional_e9(
            stop_e9.abs_diff(q.proposal.worst_price_e9) as i64,
            q.proposal.quantity_e9,
        ),
    };
    beyond(limits.trade_loss_max_e9, loss_e9)
}

fn position_quantity(q: &Question<'_>) -> Option<Usage> {
    let (position_e9, open) = (q.state.position.quantity_e9, &q.state.open);
    let (buy_e9, sell_e9) = if q.proposal.is_buy {
        (q.proposal.quantity_e9, 0)
    } else {
        (0, q.proposal.quantity_e9)
    };
    let long_e9 = position_e9.saturating_add(open.buy_quantity_e9).saturating_add(buy_e9);
    let short_e9 = open
        .sell_quantity_e9
        .saturating_sub(position_e9)
        .saturating_add(sell_e9);
    beyond(q.gate.limits.position_quantity_max_e9, long_e9.max(short_e9))
}

fn net_exposure(q: &Question<'_>) -> Option<Usage> {
    let totals = &q.gate.totals;
    let added_e9 = q.proposal.notional_e9;
    let net_e9 = if q.proposal.is_buy {
        totals.long_e9.saturating_add(added_e9)
    } else {
        totals.short_e9.saturating_add(added_e9)
    };
    beyond(q.gate.limits.net_exposure_max_e9, net_e9)
}

fn buying_power(q: &Question<'_>) -> Option<Usage> {
    let account = &q.gate.counters.account;
    let left_e9 = account.buying_power_e9.saturating_sub(account.reserved_e9);
    beyond(left_e9, q.proposal.notional_e9)
}

fn open_positions(q: &Question<'_>) -> Option<Usage> {
    let added = i64::from(!q.state.is_engaged());
    beyond_count(q.gate.limits.open_positions_max, q.gate.totals.engaged + added)
}

fn daily_notional(q: &Question<'_>) -> Option<Usage> {
    let so_far_e9 = q
        .gate
        .counters
        .notional_today_e9
        .saturating_add(q.gate.totals.open_notional_e9);
    beyond(
        q.gate.limits.daily_notional_max_e9,
        so_far_e9.saturating_add(q.proposal.notional_e9),
    )
}

/// An order must not meet one of our own: the venue rejects wash trades.
fn self_trade(q: &Question<'_>) -> Option<Usage> {
    let own_e9 = if q.proposal.limit_price_e9 == 0 {
        q.state.mark_price_e9()
    } else {
        q.proposal.limit_price_e9
    };
    let is_market = q.proposal.limit_price_e9 == 0;
    q.state.open.indices.iter().find_map(|&index| {
        let other = q.gate.orders.at(index as usize);
        let is_same_side = (other.side == Side::BUY) == q.proposal.is_buy;
        // The venue exempts families and trailing stops, which is what protective stops are made of.
        if is_same_side || !other.parent_order_id.is_nil() || other.is_protective() {
            return None;
        }
        let other_e9 = other.limit_price_e9;
        let crosses = is_market
            || other_e9 == 0
            || if q.proposal.is_buy {
                own_e9 >= other_e9
            } else {
                own_e9 <= other_e9
            };
        crosses.then_some(Usage {
            limit_e9: other_e9,
            value_e9: own_e9,
        })
    })
}

fn duplicate_intent(q: &Question<'_>) -> Option<Usage> {
    let window_ns = q.gate.limits.duplicate_window_ns;
    let since_ns = q.clock.now_ns.saturating_sub(window_ns);
    let repeated = q
        .state
        .requests
        .iter()
        .find(|(request, at_ns)| *request == q.proposal.request && *at_ns > since_ns)?;
    Some(Usage {
        limit_e9: window_ns,
        value_e9: q.clock.now_ns - repeated.1,
    })
}

fn repeat_identical(q: &Question<'_>) -> Option<Usage> {
    let limits = &q.gate.limits;
    let count = q.state.identical.with(q.proposal.request, q.clock.now_ns, limits);
    beyond_count(limits.repeat_identical_max, count)
}

fn repeat_execution(q: &Question<'_>) -> Option<Usage> {
    let oldest_ns = q.state.entries_ns[q.state.entries_next];
    let limits = &q.gate.limits;
    (oldest_ns > q.clock.now_ns.saturating_sub(limits.repeat_window_ns))
        .then(|| Usage::of_count(limits.repeat_entries_max, limits.repeat_entries_max + 1))
}

fn order_rate(q: &Question<'_>) -> Option<Usage> {
    beyond_count(q.gate.limits.order_burst_max, q.gate.rate.tokens_needed(q.clock.now_ns))
}
