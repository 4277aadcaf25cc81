"""The simulated venue: a server that speaks Alpaca, with its own market, matching engine and ledger."""

from holdfast.venues.simulated.ledger import Ledger, LedgerFill
from holdfast.venues.simulated.settings import SPEED_MAX, SimulatedVenueSettings, parse_speed
from holdfast.venues.simulated.venue import SimulatedVenue

__all__ = ["SPEED_MAX", "Ledger", "LedgerFill", "SimulatedVenue", "SimulatedVenueSettings", "parse_speed"]
