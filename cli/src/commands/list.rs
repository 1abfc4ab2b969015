//! `leasehold members` and `leasehold status`.

use std::time::Duration;

use leasehold::{RecordOptions, RecordWatch};
use tokio::time::sleep;

use crate::{
    cli::args::{FollowArgs, LookArgs},
    cluster::{connect::Connection, wait::in_time},
    exit::{About, Failure, Outcome, code},
    output::{
        format::Output,
        rows::{Candidate, Record},
        table::{Layout, Row, Screen},
        warn_once::{MOMENT, Trouble},
    },
};

/// How often times are drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// At least so long between two drawings, however much happens.
const REST: Duration = Duration::from_millis(100);

/// Lists candidates.
pub(crate) async fn members(args: FollowArgs) -> Outcome {
    let look = Look::open(args.look, "election").await?;
    look.list::<Candidate>(args.watch).await
}

/// Lists locks and elections.
pub(crate) async fn status(args: FollowArgs) -> Outcome {
    let look = Look::open(args.look, Record::WHAT).await?;
    look.list::<Record>(args.watch).await
}

/// What is looked at, and over which connection.
pub(super) struct Look {
    pub(super) args: LookArgs,
    connection: Connection,
    pub(super) object: String,
}

impl Look {
    pub(super) async fn open(args: LookArgs, what: &str) -> Outcome<Self> {
        let object = object(what, args.name.as_deref());
        let connection = Connection::open(&args.target, None, &object).await?;
        Ok(Self { args, connection, object })
    }

    fn options(&self) -> RecordOptions {
        let mut options = RecordOptions::default();
        options.everywhere = self.args.all_namespaces;
        options.labels.clone_from(&self.args.selector);
        options
    }

    fn about(&self) -> About<'_> {
        let about = self.connection.about(&self.object);
        let everywhere = self.args.all_namespaces;
        About { namespace: if everywhere { "*" } else { about.namespace }, ..about }
    }

    pub(super) async fn watch(&self) -> Outcome<RecordWatch> {
        in_time(self.connection.sync.watch_records(self.options()), &self.about()).await
    }

    async fn list<R: Row>(&self, watched: bool) -> Outcome {
        let (name, output) = (self.args.name.as_deref(), self.args.say.output);
        let layout = Layout { watched, namespaces: self.args.all_namespaces, output };
        if watched {
            return Ok(self.follow::<R>(self.watch().await?, layout).await);
        }
        let records = self.connection.sync.records(self.options());
        let rows = R::rows(&in_time(records, &self.about()).await?, name);
        if rows.is_empty() && (name.is_some() || output == Output::Text) {
            return self.nothing::<R>();
        }
        layout.print(&rows);
        Ok(0)
    }

    /// Shows what there is until nobody looks any more.
    async fn follow<R: Row>(&self, mut watch: RecordWatch, layout: Layout) -> u8 {
        let mut screen = Screen::<R>::new(layout);
        let mut trouble =
            Trouble::new(&self.object, MOMENT, self.args.say.quiet || screen.is_live());
        loop {
            let rows = R::rows(&watch.records(), self.args.name.as_deref());
            if !screen.show(rows, watch.trouble()) {
                return 0;
            }
            trouble.look(self.wrong(&watch));
            if screen.is_live() {
                sleep(REST).await;
            }
            changed(&mut watch).await;
        }
    }

    /// What keeps the watch from telling more.
    pub(super) fn wrong(&self, watch: &RecordWatch) -> Option<String> {
        let About { namespace, server, .. } = self.about();
        let place = if namespace == "*" { "all namespaces" } else { namespace };
        let line =
            |why: &str| format!("no news of {} in {place} from {server}: {why}", self.object);
        watch.trouble().map(line)
    }

    /// What was asked for by its name ought to be there.
    fn nothing<R: Row>(&self) -> Outcome {
        let (what, namespace) = (R::WHAT, self.about().namespace);
        let place = match namespace {
            "*" => "in any namespace".to_owned(),
            namespace => format!("in namespace `{namespace}`"),
        };
        let Some(name) = &self.args.name else {
            if !self.args.say.quiet {
                eprintln!("leasehold: there is no {what} {place}");
            }
            return Ok(0);
        };
        let line = match what {
            Candidate::WHAT => format!("there is no candidate of an election `{name}` {place}"),
            _ => format!("there is no {what} `{name}` {place}"),
        };
        let next = "Is it the right namespace (-n, -A)? `leasehold status` lists all";
        Err(Failure::new(code::MISSING, format!("{line}. {next}")))
    }
}

/// Returns with news, or when it is time to look again all the same.
pub(super) async fn changed(watch: &mut RecordWatch) {
    tokio::select! {
        biased;
        () = watch.changed() => {}
        () = sleep(TICK) => {}
    }
}

fn object(what: &str, name: Option<&str>) -> String {
    name.map_or_else(|| format!("every {what}"), |name| format!("{what} `{name}`"))
}
