"""Local brokers that speak the real protocols: Alpaca's, and the socket protocol of IB's TWS."""
