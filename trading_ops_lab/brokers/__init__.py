"""Local brokers with the real protocols: Alpaca's, and the socket protocol of IB's TWS."""
