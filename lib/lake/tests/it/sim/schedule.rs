//! One schedule: a seed draws the processes, their order, the faults and the clock; then everything comes to rest and is
//! looked at once more.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as Poller, Poll};

use bytes::Bytes;
use futures::task::noop_waker;
use windrow_core::{Epoch, ErrorKind, PartitionWindow, Result};

use super::actors::Program;
use super::context::Context;
use super::model::Verdict;
use super::rng::Rng;
use super::runs::Job;
use super::world::{Actor, Change, DAY, Kind, Odds, Shared, World, Write};

/// Turns after which whatever still runs is killed.
const MAX_TURNS: u64 = 4_000;

struct Task {
    actor: usize,
    program: Program,
    future: Pin<Box<dyn Future<Output = Result<()>>>>,
    /// How often it gets a turn, compared with others.
    weight: u64,
}

pub(crate) struct Schedule {
    world: Shared,
    rng: Rng,
    windows: Vec<PartitionWindow>,
    tasks: Vec<Task>,
    /// What starts at a later turn.
    waiting: Vec<(u64, Program)>,
}

/// Runs the schedule of a seed to its end or to its first violation.
pub(crate) fn run(seed: u64) -> Shared {
    let mut schedule = Schedule::draw(seed);
    schedule.storm();
    schedule.rest();
    let world = schedule.world;
    world.lock().unwrap().coverage.count("schedules");
    world
}

impl Schedule {
    fn draw(seed: u64) -> Schedule {
        let mut rng = Rng::new(seed);
        let mut world = World::new(Rng::new(rng.next()));
        world.odds = Odds {
            fault: rng.pick(&[0, 0, 5, 20, 60, 150]),
            kill: rng.pick(&[0, 0, 2, 10, 20]),
            jump: rng.pick(&[0, 2, 10, 40]),
            hold: rng.pick(&[0, 100, 500]),
        };
        world.page = rng.pick(&[2, 4, 7, 1000, 1000, 1000]);
        world.retention = rng.pick(&[7, 10, 30]) * DAY;
        world.undecided_after = rng.pick(&[60, DAY, 3 * DAY]);
        world.has_all_views = rng.chance(400);
        world.has_copy_if_absent = rng.chance(500);
        let count = rng.pick(&[1, 1, 2, 3]);
        let windows: Vec<PartitionWindow> = (1..=count).map(|day| format!("2013-01-{day:02}").parse().unwrap()).collect();
        let world = Arc::new(Mutex::new(world));
        let mut schedule = Schedule { world, rng, windows, tasks: Vec::new(), waiting: Vec::new() };
        schedule.draw_raw_files();
        schedule.draw_programs();
        schedule
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn draw_raw_files(&mut self) {
        let producer = self.add_actor(&Program::Produce(self.windows[0]));
        let mut world = self.world.lock().unwrap();
        for window in &self.windows {
            let key = format!("raw/flights/{window}/0.csv");
            let change = Change::Overwrite(Bytes::from(format!("row {:020}\n", 0)));
            world.perform(&Write { actor: producer, key, change, begun: 0 });
        }
    }

    fn draw_programs(&mut self) {
        let spread = self.rng.pick(&[1, 30, 300, 1_000]);
        let runs = self.rng.between(1, 8);
        let is_unique = self.rng.chance(500);
        for _ in 0..runs {
            let job = self.draw_job(is_unique);
            self.start_within(spread, Program::Run(job));
        }
        for _ in 0..self.rng.between(0, 2) {
            self.start_within(spread, Program::Reconcile(self.windows.clone()));
        }
        for _ in 0..self.rng.between(0, 3) {
            let window = self.draw_window();
            self.start_within(2 * spread, Program::Read(window));
        }
        for _ in 0..self.rng.between(0, 2) {
            self.start_within(3 * spread, Program::Collect);
        }
        for program in [Program::Abort, Program::Retract, Program::Rollback, Program::Produce, Program::Compact, Program::Compact]
        {
            if self.rng.chance(350) {
                let window = self.draw_window();
                self.start_within(2 * spread, program(window));
            }
        }
    }

    fn draw_window(&mut self) -> PartitionWindow {
        self.rng.pick(&self.windows)
    }

    fn draw_job(&mut self, is_unique: bool) -> Job {
        Job {
            window: self.draw_window(),
            verdict: self.rng.pick(&[
                Verdict::Pass,
                Verdict::Pass,
                Verdict::Pass,
                Verdict::Pass,
                Verdict::Fail,
                Verdict::Refused,
            ]),
            parts: self.rng.pick(&[1, 1, 1, 2, 3]),
            config: self.rng.pick(&['c', 'c', 'e']),
            is_forced: self.rng.chance(400),
            is_unique,
            is_rash: self.rng.chance(200),
            retries: 2,
        }
    }

    fn start_within(&mut self, turns: u64, program: Program) {
        let turn = self.world().turn;
        let at = turn + self.rng.between(0, turns);
        self.waiting.push((at, program));
    }

    fn add_actor(&mut self, program: &Program) -> usize {
        let mut world = self.world();
        let window = program.window().map(|window| window.to_string());
        let actor = world.actors.len();
        let kind = program.kind();
        world.actors.push(Actor {
            kind,
            window,
            is_dead: false,
            is_held: false,
            faults: (0, 0),
            call_began: 0,
            epoch: None,
            attempt: None,
            setting: Vec::new(),
        });
        world.note(actor, program.name(), "", "starts");
        actor
    }

    fn start(&mut self, program: Program) {
        let actor = self.add_actor(&program);
        let context = Context::new(Arc::clone(&self.world), actor);
        let future = Box::pin(program.clone().execute(context));
        let weight = self.rng.pick(&[1, 4, 16, 64]);
        self.tasks.push(Task { actor, program, future, weight });
    }

    /// Gives turns at random until nobody is left.
    fn storm(&mut self) {
        loop {
            let turn = self.world().turn;
            while let Some(at) = self.waiting.iter().position(|(due, _)| *due <= turn || self.tasks.is_empty()) {
                let (_, program) = self.waiting.remove(at);
                self.start(program);
            }
            if self.tasks.is_empty() || turn > MAX_TURNS || self.world().violation.is_some() {
                break;
            }
            self.disturb();
            let task = self.draw_task();
            self.step(task);
            self.world().land(false);
        }
        while let Some(task) = self.tasks.pop() {
            self.world().bury(task.actor);
        }
    }

    /// Now and then somebody gets slow or quick, or a state of a live run is started twice.
    fn disturb(&mut self) {
        if self.rng.chance(30) {
            let at = self.rng.index(self.tasks.len());
            self.tasks[at].weight = self.rng.pick(&[0, 1, 4, 16, 64]);
        }
        if self.rng.chance(3) {
            let at = self.rng.index(self.tasks.len());
            if let Some(twin) = self.resumed(at) {
                self.start(twin);
            }
        }
    }

    /// The later states of a run, for a process of their own.
    fn resumed(&self, task: usize) -> Option<Program> {
        let Task { actor, program: Program::Run(job) | Program::Resume(job, ..), .. } = &self.tasks[task] else { return None };
        let world = self.world();
        let epoch = world.actors[*actor].epoch?;
        let attempt = world.model.windows.get(&job.window.to_string())?.epochs.get(&epoch)?.attempt.parse().ok()?;
        Some(Program::Resume(Job { retries: job.retries.saturating_sub(1), ..job.clone() }, Epoch::new(epoch)?, attempt))
    }

    fn draw_task(&mut self) -> usize {
        let total: u64 = self.tasks.iter().map(|task| task.weight).sum();
        if total == 0 {
            return self.rng.index(self.tasks.len());
        }
        let mut at = self.rng.below(total);
        for (index, task) in self.tasks.iter().enumerate() {
            match at.checked_sub(task.weight) {
                None => return index,
                Some(left) => at = left,
            }
        }
        0
    }

    /// Lets a process do one operation of the store.
    fn step(&mut self, index: usize) {
        let actor = self.tasks[index].actor;
        self.world().grant(actor);
        let waker = noop_waker();
        let polled = self.tasks[index].future.as_mut().poll(&mut Poller::from_waker(&waker));
        let (is_idle, is_dead, is_held) = {
            let mut world = self.world();
            let is_held = std::mem::take(&mut world.actors[actor].is_held);
            (world.take_back(), world.actors[actor].is_dead, is_held)
        };
        match polled {
            Poll::Ready(result) => {
                let task = self.tasks.swap_remove(index);
                self.ended(&task, result.err().map(|error| error.kind()));
            }
            Poll::Pending if is_dead => {
                let retry = self.resumed(index);
                let task = self.tasks.swap_remove(index);
                self.world().bury(actor);
                self.killed(task, retry);
            }
            Poll::Pending if is_idle => self.world().violate("simulation", "a process waits for something that is not the store"),
            // Until somebody disturbs it, the others go on.
            Poll::Pending if is_held => self.tasks[index].weight = 0,
            Poll::Pending => {}
        }
    }

    fn ended(&mut self, task: &Task, error: Option<ErrorKind>) {
        let (Program::Run(job) | Program::Resume(job, ..)) = &task.program else { return };
        let counted = if error.is_none() { "runs finished" } else { "runs failed" };
        self.world().coverage.count(counted);
        if error == Some(ErrorKind::Transient) && job.retries > 0 {
            let job = Job { retries: job.retries - 1, ..job.clone() };
            self.start_within(100, Program::Run(job));
        }
    }

    fn killed(&mut self, task: Task, resumed: Option<Program>) {
        self.world().coverage.count("processes killed");
        let again = match (&task.program, resumed) {
            (Program::Run(job) | Program::Resume(job, ..), _) if job.retries == 0 => return,
            (Program::Run(_), Some(resumed)) if self.rng.chance(500) => resumed,
            (Program::Run(job), _) => Program::Run(Job { retries: job.retries - 1, ..job.clone() }),
            (Program::Resume(..), Some(resumed)) => resumed,
            _ => return,
        };
        if self.rng.chance(700) {
            self.world().coverage.count("processes started again");
            self.start_within(200, again);
        }
    }

    /// Everything comes to rest: late writes land, a last run of every window, a quiet reconcile, and nothing is left over.
    fn rest(&mut self) {
        {
            let mut world = self.world();
            world.odds = Odds::default();
            world.land(true);
        }
        for window in self.windows.clone() {
            let job = Job { window, verdict: Verdict::Pass, parts: 1, is_forced: true, retries: 0, ..self.draw_job(true) };
            self.alone(Program::Run(job));
        }
        self.alone(Program::Reconcile(self.windows.clone()));
        let windows: Vec<String> = self.windows.iter().map(ToString::to_string).collect();
        self.world().check_at_rest(&windows);
        // Twice: the evidence of what the first one gives up is kept for its retention.
        for _ in 0..2 {
            self.world().clock += 100 * DAY;
            self.alone(Program::Collect);
        }
        self.world().check_collected();
        for window in self.windows.clone() {
            self.alone(Program::Read(window));
        }
        self.world().check_at_rest(&windows);
    }

    /// Runs one process without faults and without anybody else; it must succeed.
    fn alone(&mut self, program: Program) {
        if self.world().violation.is_some() {
            return;
        }
        let kind = program.kind();
        let actor = self.add_actor(&program);
        let context = Context::new(Arc::clone(&self.world), actor);
        let mut future = Box::pin(program.execute(context));
        let waker = noop_waker();
        loop {
            self.world().grant(actor);
            if let Poll::Ready(result) = future.as_mut().poll(&mut Poller::from_waker(&waker)) {
                let mut world = self.world();
                world.take_back();
                if let Err(error) = result {
                    world.violate("no false failure", format!("a {kind:?} alone failed: {error}"));
                }
                return;
            }
        }
    }
}

/// The events of a schedule, one line each, from the last `many`.
pub(crate) fn trace(world: &World, many: usize) -> String {
    let skipped = world.trace.len().saturating_sub(many);
    let lines = world.trace.iter().skip(skipped).map(|event| {
        let kind: Kind = world.actors[event.actor].kind;
        format!("{:>5} {:>10} {kind:?} {} {} {} {}\n", event.turn, event.clock, event.actor, event.what, event.key, event.note)
    });
    lines.collect()
}
