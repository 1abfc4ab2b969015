package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// observeLimit is how long an observer may take to see the next leader.
const observeLimit = 10 * time.Second

// settle is how long a candidate that resigned has to be in the queue again.
const settle = 30 * time.Millisecond

// etcdCampaigns measures one candidacy after the other, each without a competitor.
func etcdCampaigns(endpoint, name string, contest Contest) (Result, error) {
	var requests atomic.Int64
	session, end, err := open(endpoint, &requests)
	if err != nil {
		return Result{}, err
	}
	defer end()
	var result Result
	ctx := context.Background()
	var before int64
	// The first one is not counted.
	for round := -1; round < contest.rounds; round++ {
		if round == 0 {
			before = requests.Load()
		}
		election := concurrency.NewElection(session, "/"+name)
		started := time.Now()
		if err := election.Campaign(ctx, "candidate"); err != nil {
			return result, err
		}
		if err := election.Resign(ctx); err != nil {
			return result, err
		}
		if round >= 0 {
			result.Times = append(result.Times, time.Since(started).Seconds())
		}
	}
	result.Requests = requests.Load() - before
	return result, nil
}

// elected is a candidate that leads, and since when.
type elected struct {
	place int
	at    time.Time
	err   error
}

// etcdSuccessions measures how long the next candidate takes to lead after the leader resigned, and how long an
// observer takes to see that. Each candidate has a client and a session.
func etcdSuccessions(endpoint, name string, contest Contest) (Result, error) {
	var requests, observerRequests atomic.Int64
	elections := make([]*concurrency.Election, contest.processes)
	for i := range elections {
		session, end, err := open(endpoint, &requests)
		if err != nil {
			return Result{}, err
		}
		defer end()
		elections[i] = concurrency.NewElection(session, "/"+name)
	}
	observer, end, err := open(endpoint, &observerRequests)
	if err != nil {
		return Result{}, err
	}
	defer end()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	leads := make(chan elected, contest.processes)
	campaign := func(place int) {
		err := elections[place].Campaign(ctx, fmt.Sprint(place))
		leads <- elected{place, time.Now(), err}
	}
	for place := range elections {
		go campaign(place)
	}
	leader := <-leads
	seen := concurrency.NewElection(observer, "/"+name).Observe(ctx)
	var result Result
	before := requests.Load()
	for range contest.rounds {
		time.Sleep(settle)
		drain(seen)
		if leader.err != nil {
			return result, leader.err
		}
		place, started := leader.place, time.Now()
		failed := make(chan error, 1)
		go func() { failed <- elections[place].Resign(ctx) }()
		observed, err := observe(seen, fmt.Sprint(place))
		if err != nil {
			return result, err
		}
		leader = <-leads
		if err := <-failed; err != nil {
			return result, err
		}
		result.Times = append(result.Times, leader.at.Sub(started).Seconds())
		result.Observed = append(result.Observed, observed.Sub(started).Seconds())
		go campaign(place)
	}
	result.Requests = requests.Load() - before
	return result, nil
}

// drain takes what an observer has seen so far.
func drain(seen <-chan *clientv3.GetResponse) {
	for {
		select {
		case <-seen:
		default:
			return
		}
	}
}

// observe waits until an observer sees another leader than this candidate.
func observe(seen <-chan *clientv3.GetResponse, last string) (time.Time, error) {
	limit := time.After(observeLimit)
	for {
		select {
		case found := <-seen:
			if string(found.Kvs[0].Value) != last {
				return time.Now(), nil
			}
		case <-limit:
			return time.Time{}, fmt.Errorf("no observation within %v", observeLimit)
		}
	}
}
