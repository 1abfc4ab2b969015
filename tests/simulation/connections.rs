//! What a request needs before it can travel: a credential and a connection. Both belong to the request that asks for
//! them: if its client drops it, the work for it ends.

use std::mem;

use crate::{
    circumstance::Circumstance,
    faults::Fault,
    scenario::{MS, SEC},
    world::{Event, InFlight, World},
};

/// The connections of one host, with HTTP/1: one for each request under way.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The open connections without a request.
    idle: usize,
    /// How often all connections were lost.
    lost: u64,
}

/// The credential of one host.
#[derive(Default)]
pub(crate) struct Credential {
    valid_until: u64,
    /// The number of the refresh that runs, if one does.
    refresh: Option<u64>,
    refreshes: u64,
    /// The requests that wait for it.
    waiting: Vec<InFlight>,
}

impl World {
    /// Sends a request once it has a credential and a connection.
    pub(crate) fn send_request(&mut self, at: u64, in_flight: InFlight) {
        let h = in_flight.host;
        if self.circumstance() == Circumstance::Credentials
            && at >= self.hosts[h].credential.valid_until
        {
            self.hosts[h].credential.waiting.push(in_flight);
            return self.refresh_credential(h, at);
        }
        self.connect(at, in_flight);
    }

    fn refresh_credential(&mut self, h: usize, at: u64) {
        let takes = self.rng.between(2 * SEC, 3 * SEC);
        let credential = &mut self.hosts[h].credential;
        if credential.refresh.is_none() {
            credential.refreshes += 1;
            let number = credential.refreshes;
            credential.refresh = Some(number);
            self.schedule(at + takes, Event::CredentialReady { host: h, number });
        }
    }

    pub(crate) fn credential_ready(&mut self, h: usize, number: u64) {
        let valid_for = self.rng.between(60 * SEC, 180 * SEC);
        let credential = &mut self.hosts[h].credential;
        if credential.refresh != Some(number) {
            return;
        }
        credential.refresh = None;
        credential.valid_until = self.now + valid_for;
        self.report.faults.count(Fault::SlowCredential);
        for in_flight in mem::take(&mut self.hosts[h].credential.waiting) {
            if !in_flight.reply.is_closed() {
                self.connect(self.now, in_flight);
            }
        }
    }

    /// Ends each refresh for which no request waits any more.
    pub(crate) fn drop_unwanted_refreshes(&mut self) {
        for host in &mut self.hosts {
            let credential = &mut host.credential;
            credential.waiting.retain(|in_flight| !in_flight.reply.is_closed());
            if credential.waiting.is_empty() {
                credential.refresh = None;
            }
        }
    }

    /// Takes an open connection, or makes a new one.
    fn connect(&mut self, at: u64, mut in_flight: InFlight) {
        let h = in_flight.host;
        let connections = &mut self.hosts[h].connections;
        in_flight.connection = connections.lost;
        if connections.idle > 0 {
            connections.idle -= 1;
            return self.travel(at, in_flight);
        }
        match self.connecting_time(h) {
            0 => self.travel(at, in_flight),
            time => self.schedule(at + time, Event::Connected(Box::new(in_flight))),
        }
    }

    fn connecting_time(&mut self, h: usize) -> u64 {
        let (time, fault) = match self.circumstance() {
            Circumstance::SlowConnections if h == 0 => (2 * SEC, Fault::SlowConnection),
            Circumstance::SlowConnections => {
                (self.rng.between(SEC, 3 * SEC), Fault::SlowFirstRequest)
            }
            Circumstance::DeadAddress => {
                // An attempt is a tenth of the ttl.
                let half = self.longest_ttl() / 20;
                (half + self.rng.between(SEC / 2, SEC), Fault::DeadAddress)
            }
            _ => return 0,
        };
        self.report.faults.count(fault);
        time
    }

    /// A new connection is open. If its request was dropped meanwhile, so was the connection.
    pub(crate) fn connected(&mut self, mut in_flight: InFlight) {
        if !in_flight.reply.is_closed() {
            in_flight.connection = self.hosts[in_flight.host].connections.lost;
            self.travel(self.now, in_flight);
        }
    }

    /// The reply has arrived: the next request can use the connection.
    pub(crate) fn connection_is_free(&mut self, h: usize, connection: u64, is_waiting: bool) {
        let connections = &mut self.hosts[h].connections;
        connections.idle += usize::from(is_waiting && connections.lost == connection);
    }

    /// Whether the connection of this request was lost meanwhile.
    pub(crate) fn is_lost(&self, in_flight: &InFlight) -> bool {
        self.hosts[in_flight.host].connections.lost != in_flight.connection
    }

    /// All connections of a host are lost, those of its watches too. The next ones can be made at once.
    pub(crate) fn lose_connections(&mut self, h: usize) {
        if self.faults_stopped_at.is_some() {
            return;
        }
        self.report.faults.count(Fault::ConnectionsLost);
        let connections = &mut self.hosts[h].connections;
        connections.idle = 0;
        connections.lost += 1;
        self.watches.retain(|watch| watch.host != h);
        self.schedule_loss_of_connections(h);
    }

    /// Not twice within one hold: a holder may need two new connections after a loss.
    pub(crate) fn schedule_loss_of_connections(&mut self, h: usize) {
        let circumstance = self.scenario.circumstance;
        if matches!(circumstance, Circumstance::SlowConnections | Circumstance::DeadAddress) {
            let pause = self.rng.between(20_000 * MS, 40_000 * MS);
            self.schedule(self.now + pause, Event::LoseConnections { host: h });
        }
    }
}
