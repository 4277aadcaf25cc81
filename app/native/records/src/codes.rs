//! Closed sets of values that records hold as one byte (reasons as two).

/// Hands every code set to the macro `$apply`: `Name(integer) { VARIANT = number "label", .. }`.
///
/// The label is the word used in JSON, SQL and, where the venue has one, the venue's own word.
/// Number 0 is always the absent value.
#[macro_export]
macro_rules! for_each_code {
    ($apply:ident) => {
        $apply! {
            /// The journals, by their only writer.
            JournalName(u8) {
                NONE = 0 "", MARKET_DATA = 1 "market_data", SIGNALS = 2 "signals", ORDERS = 3 "orders",
                EXECUTIONS = 4 "executions", CONTROL = 5 "control",
            }
            /// Buy or sell.
            Side(u8) { NONE = 0 "", BUY = 1 "buy", SELL = 2 "sell", }
            /// Whether a trade record prints, corrects or cancels.
            TradeAction(u8) { NONE = 0 "", PRINT = 1 "print", CORRECTION = 2 "correction", CANCEL = 3 "cancel", }
            /// Which stream of bars a bar came from.
            BarKind(u8) { NONE = 0 "", MINUTE = 1 "minute", UPDATED = 2 "updated", DAILY = 3 "daily", OWN = 4 "own", }
            /// What a book delta does to its price level.
            BookAction(u8) { NONE = 0 "", CLEAR = 1 "clear", SET = 2 "set", REMOVE = 3 "remove", }
            /// Whether a symbol trades.
            StatusCode(u8) { NONE = 0 "", TRADING = 1 "trading", HALTED = 2 "halted", LULD_BAND = 3 "luld_band", }
            /// Market-data channels.
            Channel(u8) {
                NONE = 0 "", QUOTES = 1 "quotes", TRADES = 2 "trades", BARS = 3 "bars", ORDERBOOKS = 4 "orderbooks",
                STATUSES = 5 "statuses", ALL = 6 "all",
            }
            /// Why market data is missing.
            GapReason(u8) {
                NONE = 0 "", DISCONNECTED = 1 "disconnected", STALE = 2 "stale", SLOW_CLIENT = 3 "slow_client",
                MALFORMED = 4 "malformed", RESTARTED = 5 "restarted",
            }
            /// What an order intent asks for.
            IntentAction(u8) { NONE = 0 "", NEW = 1 "new", REPLACE = 2 "replace", CANCEL = 3 "cancel", }
            /// Alpaca's order types.
            OrderType(u8) {
                NONE = 0 "", MARKET = 1 "market", LIMIT = 2 "limit", STOP = 3 "stop", STOP_LIMIT = 4 "stop_limit",
                TRAILING_STOP = 5 "trailing_stop",
            }
            /// Alpaca's time-in-force values.
            TimeInForce(u8) {
                NONE = 0 "", DAY = 1 "day", GTC = 2 "gtc", OPG = 3 "opg", CLS = 4 "cls", IOC = 5 "ioc", FOK = 6 "fok",
            }
            /// Alpaca's order classes.
            OrderClass(u8) { NONE = 0 "", SIMPLE = 1 "simple", BRACKET = 2 "bracket", OCO = 3 "oco", OTO = 4 "oto", }
            /// The risk gate's verdict on an intent.
            Verdict(u8) { NONE = 0 "", APPROVED = 1 "approved", DENIED = 2 "denied", }
            /// What the system may do: everything, only reduce exposure, nothing but cancel.
            TradingStateCode(u8) { NONE = 0 "", ACTIVE = 1 "active", REDUCING = 2 "reducing", HALTED = 3 "halted", }
            /// What happened to an order of ours.
            OrderEventKind(u8) {
                NONE = 0 "", SUBMITTING = 1 "submitting", ACCEPTED = 2 "accepted", REJECTED = 3 "rejected",
                WITHHELD = 4 "withheld", UNKNOWN = 5 "unknown", RESOLVED = 6 "resolved", UPDATED = 7 "updated",
                CANCEL_REQUESTED = 8 "cancel_requested", CANCEL_REJECTED = 9 "cancel_rejected",
                REPLACE_REQUESTED = 10 "replace_requested", REPLACE_REJECTED = 11 "replace_rejected",
                ADOPTED = 12 "adopted",
            }
            /// Alpaca's order statuses, and two of ours: UNKNOWN (not proven), SUBMITTING (bytes leaving).
            OrderStatus(u8) {
                NONE = 0 "", SUBMITTING = 1 "submitting", UNKNOWN = 2 "unknown", NEW = 3 "new",
                PARTIALLY_FILLED = 4 "partially_filled", FILLED = 5 "filled", DONE_FOR_DAY = 6 "done_for_day",
                CANCELED = 7 "canceled", EXPIRED = 8 "expired", REPLACED = 9 "replaced",
                PENDING_CANCEL = 10 "pending_cancel", PENDING_REPLACE = 11 "pending_replace", ACCEPTED = 12 "accepted",
                PENDING_NEW = 13 "pending_new", ACCEPTED_FOR_BIDDING = 14 "accepted_for_bidding", STOPPED = 15 "stopped",
                REJECTED = 16 "rejected", SUSPENDED = 17 "suspended", CALCULATED = 18 "calculated", HELD = 19 "held",
                WITHHELD = 20 "withheld",
            }
            /// What a reconciliation compared.
            ReconcileScope(u8) {
                NONE = 0 "", START_UP = 1 "start_up", IN_FLIGHT = 2 "in_flight", OPEN_ORDERS = 3 "open_orders",
                POSITIONS = 4 "positions",
            }
            /// Rules of the risk gate and of the last-instant gate: why an intent was denied or an order withheld.
            Reason(u16) {
                NONE = 0 "", KILL_LATCH = 1 "kill_latch", STATE_HALTED = 2 "state_halted", STATE_REDUCING = 3 "state_reducing",
                INTENT_INVALID = 4 "intent_invalid", INTENT_EXPIRED = 5 "intent_expired", STRATEGY_DISABLED = 6 "strategy_disabled",
                SYMBOL_UNKNOWN = 7 "symbol_unknown", SYMBOL_HALTED = 8 "symbol_halted", SESSION_CLOSED = 9 "session_closed",
                BLACKOUT = 10 "blackout", QUOTE_MISSING = 11 "quote_missing", QUOTE_STALE = 12 "quote_stale",
                QUOTE_CROSSED = 13 "quote_crossed", QUOTE_WIDE = 14 "quote_wide", QUOTE_JUMPED = 15 "quote_jumped",
                PRICE_RANGE = 16 "price_range", PRICE_COLLAR = 17 "price_collar", ORDER_QUANTITY = 18 "order_quantity",
                ORDER_NOTIONAL = 19 "order_notional", POSITION_QUANTITY = 20 "position_quantity",
                POSITION_NOTIONAL = 21 "position_notional", GROSS_EXPOSURE = 22 "gross_exposure", NET_EXPOSURE = 23 "net_exposure",
                CONCENTRATION = 24 "concentration", OPEN_POSITIONS = 25 "open_positions", OPEN_ORDERS = 26 "open_orders",
                DAILY_NOTIONAL = 27 "daily_notional", ORDER_RATE = 28 "order_rate", ORDER_BURST = 29 "order_burst",
                DUPLICATE_INTENT = 30 "duplicate_intent", REPEAT_EXECUTION = 31 "repeat_execution", SELF_TRADE = 32 "self_trade",
                FLIP_THROUGH_ZERO = 33 "flip_through_zero", SHORT_DISALLOWED = 34 "short_disallowed",
                BUYING_POWER = 35 "buying_power", QUANTITY_AVAILABLE = 36 "quantity_available", DAILY_LOSS = 37 "daily_loss",
                WEEKLY_LOSS = 38 "weekly_loss", MONTHLY_LOSS = 39 "monthly_loss", DRAWDOWN = 40 "drawdown",
                CONSECUTIVE_LOSSES = 41 "consecutive_losses", TRADES_PER_DAY = 42 "trades_per_day", TRADE_LOSS = 43 "trade_loss",
                LEVERAGE = 44 "leverage", REJECT_RATE = 45 "reject_rate", ACCOUNT_BLOCKED = 46 "account_blocked",
                NOT_RECONCILED = 47 "not_reconciled", GAP_UNREPAIRED = 48 "gap_unrepaired", APPROVAL_STALE = 49 "approval_stale",
                RISK_HEARTBEAT = 50 "risk_heartbeat", STREAM_DOWN = 51 "stream_down", RELEASE_MIXED = 52 "release_mixed",
                NOTIONAL_MISMATCH = 53 "notional_mismatch", RATE_BUDGET = 54 "rate_budget", LIMITS_CHANGED = 55 "limits_changed",
                ORDER_UNKNOWN = 56 "order_unknown", STALE_START = 57 "stale_start", OPERATOR = 58 "operator",
                QUOTE_LOCKED = 59 "quote_locked", REPLAYED = 60 "replayed", LEASE_OVER = 61 "lease_over",
                DAILY_LOSS_KILL = 62 "daily_loss_kill", REJECTS_IN_A_ROW = 63 "rejects_in_a_row", PRICE_DRIFT = 64 "price_drift",
                PRICE_INCREMENT = 65 "price_increment", AVERAGE_VOLUME = 66 "average_volume", MARGIN_REGIME = 67 "margin_regime",
                CLOCK_UNHEALTHY = 68 "clock_unhealthy", PARENT_EXCEEDED = 69 "parent_exceeded",
                REPEAT_IDENTICAL = 70 "repeat_identical", REPEAT_LIQUIDATION = 71 "repeat_liquidation",
                MARKET_UNPRICED = 72 "market_unpriced", PROTECTION_MISSING = 73 "protection_missing",
            }
        }
    };
}

macro_rules! define_codes {
    ($($(#[$doc:meta])* $name:ident($repr:ty) { $($variant:ident = $number:literal $label:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        #[allow(missing_docs)]
        impl $name {
            $(pub const $variant: Self = Self($number);)*
            /// Every value with its label.
            pub const VALUES: &'static [(Self, &'static str)] = &[$((Self::$variant, $label),)*];

            /// The word for this value; a number without one reads `?`.
            pub fn label(self) -> &'static str {
                Self::VALUES.iter().find(|(value, _)| *value == self).map_or("?", |(_, label)| label)
            }

            /// The value for a word, if there is one.
            pub fn from_label(label: &str) -> Option<Self> {
                Self::VALUES.iter().find(|(_, known)| *known == label).map(|(value, _)| *value)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(formatter, "{}({})", stringify!($name), self.label())
            }
        }
    )*};
}
for_each_code!(define_codes);
