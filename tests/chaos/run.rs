//! One run: start the members, inflict faults, let the members recover, and check.

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use leasehold_test_support::{ControlPlane, Link, Rng};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    event::{Fence, Lock, now},
    fault::Deck,
    inflict::Draw,
    member::Broken,
    report::Report,
    resource::Resource,
    stage::Stage,
    updates,
};

/// How long all members may take for one more tenure each after the last fault. They do not queue.
const CALM: Duration = Duration::from_secs(120);
/// The pause between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Run {
    seed: u64,
    rng: Rng,
    stage: Arc<Stage>,
    members: JoinSet<()>,
    resource: JoinSet<()>,
    log: PathBuf,
    begun: u64,
}

impl Run {
    /// None in a cluster whose servers the test must not kill.
    pub(crate) async fn start(seed: u64, broken: Broken) -> Option<Self> {
        println!("seed {seed}; starting etcd, kube-apiserver and six members ...");
        let plane = ControlPlane::start().await;
        if !plane.own() {
            return None;
        }
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.log"));
        let file = File::create(&log).expect("a log in the target directory");
        let mut rng = Rng::new(seed);
        let stage = Arc::new(Stage::new(Arc::new(plane), broken, file).await);
        let directory = stage.directory.path().to_owned();
        let resource = Resource::new(directory, broken != Broken::Fence).serve(&stage.resource());
        let mut members = JoinSet::new();
        for number in 0..stage.places.len() {
            members.spawn(Arc::clone(&stage).keep(number, Rng::new(rng.draw())));
        }
        Some(Self { seed, rng, stage, members, resource, log, begun: now() })
    }

    /// Inflicts faults for that long, then waits until every member has had the lock once more.
    pub(crate) async fn chaos(mut self, lasts: Duration) -> Report {
        let end = now() + u64::try_from(lasts.as_nanos()).expect("minutes");
        let mut faults = JoinSet::new();
        let mut deck = Deck::default();
        let progress = tokio::spawn(progress(Arc::clone(&self.stage), self.begun));
        while now() < end {
            let fault = deck.draw(&mut self.rng);
            if let Some(mut draw) = Draw::new(&self.stage, fault, &mut self.rng) {
                draw.lasts = draw.lasts.min(Duration::from_nanos(end.saturating_sub(now())));
                faults.spawn(draw.inflict(Arc::clone(&self.stage)));
            }
            sleep(Duration::from_millis(self.rng.between(500, 4000))).await;
            while let Some(done) = faults.try_join_next() {
                done.expect("no panic");
            }
        }
        while let Some(done) = faults.join_next().await {
            done.expect("no panic");
        }
        let calm = self.calm().await;
        progress.abort();
        self.judge(calm)
    }

    /// Waits until every member has had the lock once more and has ended; how long that took.
    async fn calm(&mut self) -> Option<Duration> {
        let begun = now();
        for place in &self.stage.places {
            place.proxy.set(Link::default());
        }
        self.stage.calm.send_replace(true);
        let all = async {
            while let Some(done) = self.members.join_next().await {
                done.expect("no panic");
            }
        };
        timeout(CALM, all).await.ok()?;
        Some(Duration::from_nanos(now() - begun))
    }

    fn judge(mut self, calm: Option<Duration>) -> Report {
        self.members.abort_all();
        self.resource.abort_all();
        let read = |fence: Fence| {
            let paths = fence.files().iter().map(|file| self.stage.directory.path().join(file));
            paths.flat_map(|path| updates::read(&path).expect("the file")).collect()
        };
        let report = Report::new(
            self.seed,
            Duration::from_nanos(now() - self.begun),
            &self.stage.ledger(),
            &Fence::ALL.map(read),
            calm,
        );
        println!("{report}");
        if report.unremarkable() {
            std::fs::remove_file(&self.log).expect("the log");
        } else {
            println!("the log of all events is {}", self.log.display());
        }
        report
    }
}

async fn progress(stage: Arc<Stage>, begun: u64) {
    loop {
        sleep(PROGRESS).await;
        let ledger = stage.ledger();
        let acknowledged = Fence::ALL.map(|fence| ledger.acknowledged(fence).count());
        let holder = ledger
            .holder(Lock::Orders, now())
            .map_or("no member".into(), |n| format!("member {n}"));
        let going = ledger.spans.iter().filter(|span| span.to.is_none());
        let going: Vec<_> = going.map(|span| format!("{:?}", span.fault)).collect();
        println!(
            "{:>4} s: {} faults, {} tenures, acknowledged {acknowledged:?}, held by {holder}; {}",
            (now() - begun) / 1_000_000_000,
            ledger.spans.len(),
            ledger.tenures.len(),
            going.join(" "),
        );
    }
}
