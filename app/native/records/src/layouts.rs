//! The payloads. Fields are ordered so that no layout needs padding between them.
//!
//! `_e9` is an integer scaled by 1e-9, `_ns` nanoseconds UTC. Zero means absent unless said otherwise.

use crate::{
    BarKind, BookAction, Channel, GapReason, IntentAction, OrderClass, OrderEventKind, OrderStatus, OrderType, Reason,
    ReconcileScope, Record, Side, StatusCode, Symbol, Text, TimeInForce, TradeAction, TradingStateCode, Uuid, Verdict,
};

/// Hands every record to the macro `$apply`: `Name = kind, version { field: Type, .. } reserved N;`.
#[macro_export]
macro_rules! for_each_record {
    ($apply:ident) => {
        $apply! {
            /// Best bid and ask of a symbol (Alpaca `q`). Sizes in shares or coins.
            Quote = 1, 1 {
                symbol: Symbol, ts_event_ns: i64, bid_price_e9: i64, bid_size_e9: i64, ask_price_e9: i64,
                ask_size_e9: i64, conditions: Text<4>, bid_exchange: u8, ask_exchange: u8, tape: u8, flags: u8,
            } reserved 0;
            /// A public trade print, its correction or its cancel (Alpaca `t`, `c`, `x`).
            Trade = 2, 1 {
                symbol: Symbol, ts_event_ns: i64, price_e9: i64, size_e9: i64, trade_id: u64, conditions: Text<4>,
                exchange: u8, tape: u8, taker_side: Side, action: TradeAction,
            } reserved 0;
            /// OHLCV of the interval that begins at `ts_event_ns` (Alpaca `b`, `u`, `d`).
            Bar = 3, 1 {
                symbol: Symbol, ts_event_ns: i64, interval_ns: i64, open_e9: i64, high_e9: i64, low_e9: i64,
                close_e9: i64, volume_e9: i64, vwap_e9: i64, trade_count: u64, kind: BarKind,
            } reserved 7;
            /// One change of an L2 book (Alpaca crypto `o`); `is_last` ends a frame.
            BookDelta = 4, 1 {
                symbol: Symbol, ts_event_ns: i64, price_e9: i64, size_e9: i64, side: Side, action: BookAction, is_last: u8,
            } reserved 5;
            /// A halt, a resumption or a limit-up-limit-down band (Alpaca `s`, `l`).
            TradingStatus = 5, 1 {
                symbol: Symbol, ts_event_ns: i64, luld_up_e9: i64, luld_down_e9: i64, reason: Text<48>, status: StatusCode,
            } reserved 7;
            /// Market data that is known to be missing; an empty symbol means all. A second record with `is_repaired` ends it.
            Gap = 6, 1 {
                symbol: Symbol, from_ns: i64, to_ns: i64, missed_count: u64, channel: Channel, reason: GapReason, is_repaired: u8,
            } reserved 5;
            /// Average volume of a symbol's last twenty sessions in shares, of which `session_count` had any; `ts_event_ns` is the
            /// beginning of the newest one.
            AverageVolume = 7, 1 { symbol: Symbol, ts_event_ns: i64, volume_e9: i64, session_count: u64, } reserved 0;

            /// A strategy's wish. `strength_e9` is between -1e9 and 1e9.
            Signal = 16, 1 {
                strategy: Text<32>, symbol: Symbol, ts_event_ns: i64, strength_e9: i64, reference_price_e9: i64,
                quote_seq: u64, side: Side,
            } reserved 7;
            /// A sized request of a strategy, not yet judged. `target_client_order_id` names the order to replace or cancel.
            OrderIntent = 17, 1 {
                strategy: Text<32>, symbol: Symbol, target_client_order_id: Text<48>, ts_event_ns: i64, expires_ns: i64,
                signal_seq: u64, quote_seq: u64, quantity_e9: i64, notional_e9: i64, limit_price_e9: i64, stop_price_e9: i64,
                trail_price_e9: i64, trail_percent_e9: i64, take_profit_price_e9: i64, stop_loss_price_e9: i64,
                stop_loss_limit_price_e9: i64, reference_price_e9: i64, action: IntentAction, side: Side,
                order_type: OrderType, time_in_force: TimeInForce, order_class: OrderClass, is_extended_hours: u8,
                is_reduce_only: u8,
            } reserved 1;
            /// How far a service had read its inputs when it decided: the key to an identical replay.
            Consumed = 18, 1 {
                market_data_seq: u64, signals_seq: u64, orders_seq: u64, executions_seq: u64, control_seq: u64,
            } reserved 0;

            /// The verdict on an intent. `rule`, `limit_e9`, `value_e9` explain a denial; ids and hash are set on approval.
            /// `is_converted`: a market or stop order was approved as a limit order at the collar.
            Decision = 32, 1 {
                strategy: Text<32>, symbol: Symbol, client_order_id: Text<48>, target_client_order_id: Text<48>,
                intent_seq: u64, ts_event_ns: i64, expires_ns: i64, quote_seq: u64, limits_hash: u64, limit_e9: i64, value_e9: i64,
                quantity_e9: i64, notional_e9: i64, limit_price_e9: i64, stop_price_e9: i64, trail_price_e9: i64, trail_percent_e9: i64,
                take_profit_price_e9: i64, stop_loss_price_e9: i64, stop_loss_limit_price_e9: i64, reference_price_e9: i64,
                rule: Reason, verdict: Verdict, action: IntentAction, side: Side, order_type: OrderType,
                time_in_force: TimeInForce, order_class: OrderClass, is_extended_hours: u8, is_reduction: u8,
                is_converted: u8,
            } reserved 5;
            /// The trading state from here on, and the rule that set it.
            TradingState = 33, 1 {
                detail: Text<96>, limits_hash: u64, rule: Reason, state: TradingStateCode,
            } reserved 5;
            /// A circuit breaker tripped. `clears_ns` 0: only an operator clears it.
            BreakerTripped = 34, 1 {
                strategy: Text<32>, symbol: Symbol, limit_e9: i64, value_e9: i64, clears_ns: i64, rule: Reason,
            } reserved 6;

            /// One step in the life of an order at the venue; the fields are the order's state after it.
            OrderEvent = 48, 1 {
                client_order_id: Text<128>, venue_order_id: Uuid, replaces_order_id: Uuid, parent_order_id: Uuid, strategy: Text<32>,
                symbol: Symbol, detail: Text<96>, ts_event_ns: i64, decision_seq: u64, quote_seq: u64, quantity_e9: i64, notional_e9: i64,
                filled_quantity_e9: i64, average_price_e9: i64, limit_price_e9: i64, stop_price_e9: i64, venue_code: i64, rule: Reason,
                kind: OrderEventKind, status: OrderStatus, side: Side, order_type: OrderType, time_in_force: TimeInForce,
                order_class: OrderClass, is_external: u8,
            } reserved 7;
            /// One execution of ours, exactly once per `execution_id`. `position_quantity_e9` is the venue's, signed.
            Fill = 49, 1 {
                execution_id: Uuid, client_order_id: Text<128>, venue_order_id: Uuid, strategy: Text<32>, symbol: Symbol,
                ts_event_ns: i64, quantity_e9: i64, price_e9: i64, fee_e9: i64, position_quantity_e9: i64, side: Side,
                is_recovered: u8,
            } reserved 6;
            /// The account as the venue reports it.
            AccountSnapshot = 50, 1 {
                account_number: Text<32>, ts_event_ns: i64, equity_e9: i64, last_equity_e9: i64, cash_e9: i64, buying_power_e9: i64,
                long_market_value_e9: i64, short_market_value_e9: i64, is_trading_blocked: u8, is_shorting_enabled: u8,
            } reserved 6;
            /// One position as the venue reports it, quantity signed.
            PositionSnapshot = 51, 1 {
                symbol: Symbol, ts_event_ns: i64, quantity_e9: i64, available_e9: i64, average_price_e9: i64, market_price_e9: i64,
            } reserved 0;
            /// The end of a reconciliation with the venue.
            Reconciled = 52, 1 {
                ts_event_ns: i64, orders_open: u64, orders_adopted: u64, orders_resolved: u64, fills_recovered: u64,
                positions_mismatched: u64, orders_unknown: u64, scope: ReconcileScope, is_complete: u8,
            } reserved 6;
            /// Whether the venue's own words on a symbol, by the borrow rules of the date, allow a short of it.
            Shortability = 53, 1 { symbol: Symbol, ts_event_ns: i64, is_shortable: u8, } reserved 7;

            /// An operator stops trading.
            Trip = 64, 1 { operator: Text<32>, reason: Text<128>, ts_event_ns: i64, } reserved 0;
            /// An operator clears the breaker or the kill latch.
            Reset = 65, 1 { operator: Text<32>, reason: Text<128>, ts_event_ns: i64, } reserved 0;
            /// An operator changes a risk limit; `approver` is the second person that a loosening needs. The values are the
            /// limit's times 1e9, of times the seconds; `expires_ns` 0: it is not looser than configured and stays.
            LimitChange = 66, 1 {
                operator: Text<32>, approver: Text<32>, reason: Text<128>, key: Text<64>, old_e9: i64, new_e9: i64, expires_ns: i64, ts_event_ns: i64,
            } reserved 0;
            /// An operator switches a strategy on or off.
            StrategySwitch = 67, 1 {
                operator: Text<32>, reason: Text<128>, strategy: Text<32>, ts_event_ns: i64, is_enabled: u8,
            } reserved 7;
            /// An operator asks to loosen a risk limit: another one's LimitChange, caused by this, puts it in force.
            LimitProposal = 68, 1 {
                operator: Text<32>, reason: Text<128>, key: Text<64>, old_e9: i64, new_e9: i64, expires_ns: i64, ts_event_ns: i64,
            } reserved 0;
            /// An operator takes a proposal, its cause, off the table.
            LimitWithdrawal = 69, 1 { operator: Text<32>, reason: Text<128>, key: Text<64>, ts_event_ns: i64, } reserved 0;
        }
    };
}

macro_rules! define_records {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $version:literal { $($field:ident: $type:ty,)* } reserved $reserved:literal;)*) => {
        $(
            $(#[$doc])*
            #[allow(missing_docs)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
            #[repr(C)]
            pub struct $name {
                $(pub $field: $type,)*
                /// Zero.
                pub reserved: [u8; $reserved],
            }

            impl Default for $name {
                fn default() -> Self {
                    bytemuck::Zeroable::zeroed()
                }
            }

            impl Record for $name {
                const KIND: u16 = $kind;
                const VERSION: u8 = $version;
                const NAME: &'static str = stringify!($name);
                const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];
            }

            const _: () = assert!(size_of::<$name>() % 8 == 0);
        )*

        /// A record of any kind, borrowed from a journal.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)]
        pub enum AnyRecord<'a> {
            $($name(&'a $name),)*
        }

        impl<'a> AnyRecord<'a> {
            /// Reads a payload as its kind says; nothing for an unknown kind, version, size or alignment.
            pub fn parse(kind: u16, version: u8, payload: &'a [u8]) -> Option<Self> {
                match (kind, version) {
                    $(($kind, $version) => bytemuck::try_from_bytes(payload).ok().map(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
for_each_record!(define_records);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    macro_rules! collect {
        ($($(#[$doc:meta])* $name:ident = $kind:literal, $version:literal { $($field:ident: $type:ty,)* } reserved $reserved:literal;)*) => {
            &[$(($kind, $name::NAME, size_of::<$name>()),)*]
        };
    }
    const ALL: &[(u16, &str, usize)] = for_each_record!(collect);

    #[test]
    fn kinds_and_names_are_unique() {
        for (index, (kind, name, _)) in ALL.iter().enumerate() {
            assert!(
                ALL[index + 1..].iter().all(|(other, _, _)| other != kind),
                "{name} repeats kind {kind}"
            );
            assert!(
                ALL[index + 1..].iter().all(|(_, other, _)| other != name),
                "{name} is defined twice"
            );
        }
    }

    #[test]
    fn a_payload_of_another_size_or_version_is_refused() {
        let bytes = [0_u64; 128];
        let bytes: &[u8] = bytemuck::cast_slice(&bytes);
        for &(kind, _, size) in ALL {
            assert!(AnyRecord::parse(kind, 1, &bytes[..size]).is_some());
            assert!(AnyRecord::parse(kind, 1, &bytes[..size + 8]).is_none());
            assert!(AnyRecord::parse(kind, 200, &bytes[..size]).is_none());
        }
    }

    proptest! {
        #[test]
        fn text_returns_what_it_took(text in "\\PC{0,16}") {
            match Text::<16>::new(&text) {
                Some(taken) => prop_assert_eq!(taken.as_str(), text.as_str()),
                None => prop_assert!(text.len() > 16 || text.contains('\0')),
            }
            prop_assert!(text.starts_with(Text::<16>::truncated(&text).as_str()) || text.contains('\0'));
        }

        #[test]
        fn uuid_returns_what_it_took(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
        }
    }
}
