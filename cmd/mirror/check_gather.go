package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/archive/store"
	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/doctor"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// gathering is a look at everything that a file names. Clusters are asked side by side, and one that is away holds nobody up.
type gathering struct {
	facts  *doctor.Facts
	conf   *config.Config
	logins logins
	admins map[doctor.Login]*kafka.Admin
	line   *cli.Progress

	mu    sync.Mutex // guards facts.Rights and what is under way
	doing map[string]bool
}

func gather(ctx context.Context, facts *doctor.Facts, conf *config.Config, line *cli.Progress) {
	g := &gathering{facts: facts, conf: conf, logins: make(logins), admins: make(map[doctor.Login]*kafka.Admin), line: line, doing: make(map[string]bool)}
	facts.Rights = make(map[doctor.Login]doctor.Rights)
	used := make(map[string]bool)
	var bad wrongClients
	for _, c := range conf.Flows {
		flow, wrong := flowFacts(conf, c, g.logins)
		bad.add(c.Flow, wrong)
		if len(wrong) == 0 {
			facts.Flows = append(facts.Flows, flow)
		}
		used[c.Target] = used[c.Target] || c.Enabled || c.Heartbeats
		used[c.Source] = used[c.Source] || c.Enabled || c.Archive.Enabled
	}
	facts.File = append(facts.File, bad...)
	for login, client := range g.logins {
		g.admins[login] = kafka.NewAdmin(client)
	}
	defer func() {
		for _, a := range g.admins {
			_ = a.Close() // it wrote nothing
		}
	}()
	for _, c := range conf.Clusters {
		if used[c.Alias] && g.admin(c.Alias) != nil { // without a way into it, the file has a blocker that says why
			facts.Clusters = append(facts.Clusters, doctor.Cluster{Alias: c.Alias, Bootstrap: c.BootstrapServers})
		}
	}
	var beside sync.WaitGroup
	beside.Go(func() { g.archives(ctx) })
	beside.Go(func() { g.address(ctx) })
	// What one cluster is asked depends on what another one has, so there are steps; within each all are asked side by side.
	for _, step := range []func(context.Context, *doctor.Cluster, *kafka.Admin){g.first, g.topics, g.rest} {
		var group sync.WaitGroup
		for i := range facts.Clusters {
			if c := &facts.Clusters[i]; c.Trouble == "" {
				group.Go(func() {
					defer g.under("cluster " + c.Alias)()
					step(ctx, c, g.admin(c.Alias))
				})
			}
		}
		group.Wait()
	}
	g.rights(ctx)
	beside.Wait()
}

// under shows what is under way; the answer ends it.
func (g *gathering) under(what string) (done func()) {
	show := func(doing bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.doing[what] = doing; !doing {
			delete(g.doing, what)
		}
		g.line.Show("asking %s", strings.Join(slices.Sorted(maps.Keys(g.doing)), ", "))
	}
	show(true)
	return func() { show(false) }
}

// admin is a way into a cluster: that of the first flow that administers it, else any; nil if all are misconfigured.
func (g *gathering) admin(alias string) *kafka.Admin {
	for _, f := range g.facts.Flows {
		for _, l := range []doctor.Login{f.SourceAdmin, f.TargetAdmin} {
			if l.Cluster == alias {
				return g.admins[l]
			}
		}
	}
	for _, l := range slices.SortedFunc(maps.Keys(g.admins), func(a, b doctor.Login) int { return strings.Compare(a.Client, b.Client) }) {
		if l.Cluster == alias {
			return g.admins[l]
		}
	}
	return nil
}

// lookAt is Admin.Look, but ends with ctx: where something else than a broker listens, a connection is given up much later.
func lookAt(ctx context.Context, admin *kafka.Admin) (kafka.ClusterLook, error) {
	type answer struct {
		look kafka.ClusterLook
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		l, err := admin.Look(ctx)
		answers <- answer{l, err}
	}()
	select {
	case a := <-answers:
		return a.look, a.err
	case <-ctx.Done():
		return kafka.ClusterLook{}, ctx.Err()
	}
}

// first finds out whether the cluster is there at all. It takes a part of the time, so that there is some left for the others.
func (g *gathering) first(ctx context.Context, c *doctor.Cluster, admin *kafka.Admin) {
	if end, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/3)
		defer cancel()
	}
	look, err := lookAt(ctx, admin)
	if err != nil {
		c.Trouble, c.Refused = kafka.Explain(err), kafka.Classify(err) == kafka.Authentication
		return
	}
	c.ID, c.Via, c.Took = look.ID, look.Via, look.Took
	for _, b := range look.Brokers {
		broker := doctor.Broker{ID: b.ID, Address: b.Address, Version: b.Version, Lacks: b.Lacks}
		if b.Err != nil {
			broker.Trouble = kafka.Explain(b.Err)
		}
		c.Brokers = append(c.Brokers, broker)
	}
	for login := range g.admins {
		if login.Cluster == c.Alias {
			c.Certificates = append(c.Certificates, certificates(g.logins[login])...)
		}
	}
	// Flows may come in by other logins; what keeps one of them out is as bad.
	for login, a := range g.admins {
		if login.Cluster == c.Alias && a != admin {
			if _, err := lookAt(ctx, a); err != nil {
				c.Trouble, c.Refused = kafka.Explain(err)+" ("+login.Client+")", kafka.Classify(err) == kafka.Authentication
				return
			}
		}
	}
}

// certificates are our own and those that we trust brokers by.
func certificates(client kafka.Client) (all []doctor.Certificate) {
	for _, info := range client.Certificates() {
		of := "our certificate "
		if info.Trusted {
			of = "the trusted authority "
		}
		if of += info.Subject; info.File != "" {
			of += " in " + info.File
		}
		all = append(all, doctor.Certificate{Of: of, Expires: info.NotAfter, Trusted: info.Trusted})
	}
	return all
}

// could notes what could not be found out. A right that is missing is told as such, elsewhere.
func could(c *doctor.Cluster, what string, err error) bool {
	if err != nil && kafka.Classify(err) != kafka.Authorization {
		c.Unasked = append(c.Unasked, what+": "+kafka.Explain(err))
	}
	return err == nil
}

// topics finds out what the cluster has.
func (g *gathering) topics(ctx context.Context, c *doctor.Cluster, admin *kafka.Admin) {
	listed, err := admin.Topics(ctx)
	if could(c, "its topics", err) {
		c.Topics = append([]stream.Topic{}, listed...)
	}
	groups, err := admin.Groups(ctx)
	if could(c, "its groups", err) {
		c.Groups = append([]stream.Group{}, groups...)
	}
	// Brokers log it as an error of theirs when somebody asks what follows without the right to.
	if operations, _, err := admin.ClusterRights(ctx); !could(c, "rights on the cluster", err) || !slices.Contains(operations, "Describe") {
		return
	}
	has, told, err := admin.Authorizer(ctx)
	could(c, "whether it has an authorizer", err)
	c.NoAuthorizer = told && !has
	ahead, within, known, err := admin.Clock(ctx)
	if could(c, "its clock", err) && known {
		c.Ahead, c.Within = ahead, within
	}
}

const codeInvalidTopic stream.Code = 17 // a name that is too long, or collides with another one

// rest finds out about the topics that flows read, write and make there.
func (g *gathering) rest(ctx context.Context, c *doctor.Cluster, admin *kafka.Admin) {
	var configs, exist []string
	var wanted, filled []stream.NewTopic
	var sources []stream.Topic
	c.Members = map[string]doctor.Members{}
	for _, f := range g.facts.Flows {
		for _, t := range f.Internals() {
			if t.Cluster == c.Alias {
				wanted = append(wanted, stream.NewTopic{Name: t.Topic, Partitions: t.Parts, Factor: t.Factor})
			}
		}
		if f.Source == c.Alias {
			for _, t := range f.Selected(c.Topics) {
				configs = append(configs, t.Name)
				if f.Replicates && !f.Committed {
					sources = append(sources, t)
				}
			}
		}
		if f.Target != c.Alias || !f.Replicates {
			continue
		}
		for _, t := range f.Selected(g.cluster(f.Source).Topics) {
			if f.Topics.Replicates(t.Name) {
				wanted = append(wanted, stream.NewTopic{Name: f.Remote(t.Name), Partitions: t.Partitions, Factor: f.Factor})
				filled = append(filled, stream.NewTopic{Name: f.Remote(t.Name), Partitions: t.Partitions})
			}
		}
		protocol, members, err := admin.GroupProtocol(ctx, f.SharingGroup)
		could(c, "who is in group "+f.SharingGroup, err)
		c.Members[f.SharingGroup] = doctor.Members{Protocol: protocol, Names: members}
	}
	there := map[string]stream.Topic{}
	for _, t := range c.Topics {
		there[t.Name] = t
	}
	var missing []stream.NewTopic
	for _, t := range wanted {
		if _, ok := there[t.Name]; ok {
			configs, exist = append(configs, t.Name), append(exist, t.Name)
			continue
		}
		if int(t.Factor) > len(c.Brokers) {
			t.Factor = -1 // that it would be refused is known; what configs it would have is not
		}
		missing = append(missing, t)
	}
	slices.Sort(configs)
	var err error
	c.Configs, err = admin.Configs(ctx, slices.Compact(configs))
	could(c, "configs of topics", err)
	fits, err := admin.Fitness(ctx, exist)
	could(c, "replicas of topics", err)
	c.Replicas = map[string]doctor.Replicas{}
	for name, fit := range fits {
		c.Replicas[name] = doctor.Replicas{All: fit.Replicas, InSync: fit.InSync}
	}
	would, err := admin.ValidateTopics(ctx, missing)
	could(c, "whether topics can be made", err)
	c.Would = map[string]doctor.Would{}
	for name, w := range would {
		answer := doctor.Would{Factor: w.Factor, Configs: w.Configs}
		if code, _ := stream.CodeOf(w.Err); w.Err != nil && kafka.Classify(w.Err) != kafka.Authorization && code != codeInvalidTopic { // names are looked at elsewhere
			answer.Refused = kafka.Explain(w.Err)
		}
		c.Would[name] = answer
	}
	c.Transactional, err = admin.Transactional(ctx, sources)
	could(c, "transactions", err)
	g.filled(ctx, c, admin, there, filled)
}

// mostFilled bounds how many partitions are looked at for records that nobody expects.
const mostFilled = 2000

func (g *gathering) filled(ctx context.Context, c *doctor.Cluster, admin *kafka.Admin, there map[string]stream.Topic, list []stream.NewTopic) {
	c.Filled = map[string]bool{}
	var partitions []stream.Partition
	for _, t := range list {
		for n := range there[t.Name].Partitions {
			partitions = append(partitions, stream.Partition{Topic: t.Name, Number: n})
		}
	}
	if len(partitions) == 0 || len(partitions) > mostFilled {
		return
	}
	ends, _, err := admin.Offsets(ctx, partitions, stream.Latest)
	could(c, "whether remote topics have records", err)
	for p, end := range ends {
		if end > 0 {
			c.Filled[p.Topic] = true
		}
	}
}

func (g *gathering) cluster(alias string) *doctor.Cluster {
	for i := range g.facts.Clusters {
		if g.facts.Clusters[i].Alias == alias {
			return &g.facts.Clusters[i]
		}
	}
	return &doctor.Cluster{}
}

// rights asks for all logins what they may do of what the flows need.
func (g *gathering) rights(ctx context.Context) {
	var needs []doctor.Need
	for _, f := range g.facts.Flows {
		source := g.cluster(f.Source)
		needs = append(needs, f.Needs(source.Topics, source.Groups)...)
	}
	var group sync.WaitGroup
	all := doctor.Ask(needs)
	for _, n := range needs { // of the cluster as a whole, too
		if _, asked := all[n.Login]; !asked {
			all[n.Login] = doctor.Asked{}
		}
	}
	for login, asked := range all {
		c := g.cluster(login.Cluster)
		if c.Trouble != "" || g.admins[login] == nil {
			continue
		}
		group.Go(func() {
			defer g.under("cluster " + c.Alias)()
			rights, err := allowed(ctx, g.admins[login], asked)
			g.mu.Lock()
			defer g.mu.Unlock()
			if could(c, "rights", err) {
				rights.Principal = g.logins[login].Principal()
				g.facts.Rights[login] = rights
			}
		})
	}
	group.Wait()
}

func allowed(ctx context.Context, admin *kafka.Admin, asked doctor.Asked) (r doctor.Rights, err error) {
	if r.Cluster, r.Told, err = admin.ClusterRights(ctx); err != nil {
		return r, err
	}
	topics, err := admin.TopicRights(ctx, asked.Topics)
	if err != nil {
		return r, err
	}
	if r.Groups, err = admin.GroupRights(ctx, asked.Groups); err != nil {
		return r, err
	}
	if r.IDs, err = admin.TransactionRights(ctx, asked.IDs); err != nil {
		return r, err
	}
	// A right to Create may be one on the cluster, which we may not see, or one on a topic that is hidden from us.
	var unknown []stream.NewTopic
	for _, name := range asked.Created {
		if t := topics[name]; !t.Exists && !slices.Contains(t.Operations, "Create") && !slices.Contains(r.Cluster, "Create") {
			unknown = append(unknown, stream.NewTopic{Name: name, Partitions: 1, Factor: -1})
		}
	}
	would, err := admin.ValidateTopics(ctx, unknown)
	if err != nil {
		return r, err
	}
	r.Topics = make(map[string]doctor.TopicRight, len(topics))
	for name, t := range topics {
		right := doctor.TopicRight{Exists: t.Exists, Hidden: t.Hidden, Operations: t.Operations}
		if w, asked := would[name]; asked && kafka.Classify(w.Err) != kafka.Authorization {
			right.Operations = append(right.Operations, "Create")
		}
		r.Topics[name] = right
	}
	return r, nil
}

// archives lists the first object of each store.
func (g *gathering) archives(ctx context.Context) {
	for _, c := range g.conf.Flows {
		if !c.Archive.Enabled {
			continue
		}
		done := g.under("the archive of " + c.Source)
		found := doctor.Archive{Flow: c.Flow, URL: c.Archive.URL}
		if err := listOne(ctx, c.Archive); err != nil {
			found.Trouble = err.Error()
			kind := store.Classify(err)
			found.Passes = kind != store.AccessDenied && kind != store.Settings
		}
		done()
		g.facts.Archives = append(g.facts.Archives, found)
	}
}

func listOne(ctx context.Context, a config.Archive) error {
	s, err := store.Open(ctx, a.URL, store.Options{Patience: -1, S3: s3Options(a)})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	for _, err := range s.List(ctx, "", "") {
		return err
	}
	return nil
}

// address looks whether status.address can be had, and if not, whether a mirror has it.
func (g *gathering) address(ctx context.Context) {
	if g.conf.StatusAddress == "" {
		return
	}
	at := doctor.Address{Address: g.conf.StatusAddress, Named: g.conf.StatusNamed}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.Address)
	if err == nil {
		_ = l.Close()
	} else {
		at.Taken = err.Error()
		at.Ours = mirrorAt(ctx, at.Address)
	}
	g.facts.Addresses = append(g.facts.Addresses, at)
}

// mirrorAt says whether a mirror serves its status there.
func mirrorAt(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ask := func(path string) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return 0, err
		}
		resp, err := direct.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if kind := resp.Header.Get("Content-Type"); path == "/readyz" && !strings.HasPrefix(kind, "application/json") {
			return 0, fmt.Errorf("it answers %s", kind)
		}
		return resp.StatusCode, nil
	}
	alive, err := ask("/healthz")
	ready, err2 := ask("/readyz")
	return errors.Join(err, err2) == nil && alive == http.StatusOK && (ready == http.StatusOK || ready == http.StatusServiceUnavailable)
}
