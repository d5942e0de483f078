package archtest

// floor is where a package stands. It may import packages of lower floors.
type floor struct {
	number int
	why    string
}

// floors is the house: every package has a floor, or the test fails.
// docs/architecture.md tells the same for people.
var floors = map[string]floor{
	"cmd/homelab":         {6, "picks a face and an exit status; nothing imports a main package"},
	"cmd/homelab-mcp":     {6, "the same program with the MCP library linked"},
	"cmd/homelab-sidecar": {6, "what reads and writes state in containers: small, and without the rest"},
	"schemas/gen":         {6, "a program of its own: reflection stays out of the binary"},
	"bench":               {6, "a program of its own: it measures the program from outside"},
	"bench/emptyserver":   {6, "what the server is measured against"},
	"bench/service":       {6, "what runs in the containers that are measured"},

	"examples/mcpclient": {6, "a program of its own: what an agent's client does, for the demo"},

	"internal/harness": {5, "the one place that knows every adapter"},
	"internal/mcpface": {5, "joins the faces, for the one program that has both"},

	"internal/cli":       {4, "a face: it calls tools and knows nothing of MCP"},
	"internal/mcpserver": {4, "a face: it calls tools and knows nothing of the command line"},
	"tools/toolstest":    {4, "canned answers for the tests of the faces"},

	"tools":                             {3, "what can be asked, told once for both faces"},
	"internal/gitrepo":                  {3, "an adapter: the planner does not know how a repository is read"},
	"internal/gitrepo/gittest":          {3, "repositories for tests"},
	"internal/nix":                      {3, "an adapter: the planner does not know how Nix is driven"},
	"internal/engine/dockerhost":        {3, "an adapter: nobody else knows how an engine is reached"},
	"internal/engine/docker":            {3, "an adapter: nobody else knows the Docker API"},
	"internal/engine/docker/dockertest": {3, "engines for tests"},
	"internal/store/dir":                {3, "an adapter: state does not know where its files are"},
	"internal/store/restic":             {3, "an adapter: state does not know how restic keeps things"},
	"internal/store/s3":                 {3, "an adapter: state does not know how a bucket is reached"},
	"internal/store/sftp":               {3, "an adapter: state does not know how a NAS is reached"},

	"internal/deploy":            {2, "a domain: it knows an engine of its own making, no adapter"},
	"internal/quiesce":           {2, "a domain: it knows what rests and wakes, not what is captured meanwhile"},
	"internal/rollout":           {2, "a domain: it decides what happens to services, and knows no engine"},
	"internal/deploy/deploytest": {2, "an engine in memory, for tests"},

	"internal/build":  {2, "a domain: it knows plans and interfaces of its own, no adapter"},
	"internal/job":    {2, "a domain: it keeps records of work and knows none"},
	"internal/plan":   {2, "a domain: it knows the registry and interfaces of its own, no adapter"},
	"internal/doctor": {2, "a domain: it runs probes and knows none"},

	"internal/state":           {2, "a domain: it knows stores of its own making, no adapter"},
	"internal/state/statetest": {2, "the suites that every store passes, for tests"},

	"internal/sidecar":         {2, "knows what is told to the program, no engine"},
	"internal/sidecar/program": {2, "knows the program and its image, no engine"},

	"registry":        {1, "the vocabulary that everything above speaks"},
	"internal/bundle": {1, "knows files and archives, nothing of services, engines or stores"},
	"internal/mirror": {1, "knows trees and streams, nothing of services, engines or how a stream gets there"},
	"internal/swap":   {1, "knows folders and renames, nothing of services or of what the folders are for"},

	"internal/strictjson":    {0, "knows JSON, not what it says"},
	"internal/hint":          {0, "knows paths, not what they are for"},
	"internal/image":         {0, "knows images, not who makes or takes them"},
	"internal/durable":       {0, "writes bytes, knows nothing of them"},
	"internal/cache":         {0, "keeps bytes, knows nothing of them"},
	"internal/nar":           {0, "knows trees, not whose they are"},
	"internal/tree":          {0, "knows entries of folders, not where they come from or go"},
	"internal/tree/treetest": {0, "trees for tests"},
	"internal/command":       {0, "runs commands for every adapter"},
	"internal/fault":         {0, "the error value of every floor"},
	"internal/lazy":          {0, "puts off work, knows nothing of it"},
	"schemas":                {0, "embedded bytes"},
}

// siblings are the imports within a floor that are allowed.
var siblings = []struct{ from, to, why string }{
	{"internal/command", "internal/fault", "a missing command is a fault with its remedy"},
	{"internal/durable", "internal/fault", "a disk that is full is a fault with its remedy"},
	{"internal/cache", "internal/durable", "a cached value is whole or not there"},
	{"internal/image", "internal/fault", "a broken archive is a fault with its remedy"},
	{"internal/image", "internal/lazy", "names are checked when something is sent, not by every run"},
	{"internal/engine/docker", "internal/engine/dockerhost", "the API goes the way that is known to the engine"},
	{"internal/rollout", "internal/build", "what is deployed is what was built"},
	{"internal/rollout", "internal/deploy", "what is deployed is compared with what runs"},
	{"internal/rollout", "internal/plan", "what is deployed is what a plan decided"},
	{"internal/state", "internal/build", "what went wrong is told as a build tells it"},
	{"internal/state", "internal/deploy", "what is captured is of a container that was deployed"},
	{"internal/state", "internal/quiesce", "what is captured is at rest"},
	{"internal/quiesce", "internal/deploy", "what is put to rest is a container that was deployed"},
	{"internal/deploy", "internal/plan", "what runs is held against what a plan says there is to do"},
	{"internal/deploy", "internal/build", "what is loaded is what was built"},
	{"internal/deploy/deploytest", "internal/deploy", "the suite is that of its engine"},
	{"internal/state/statetest", "internal/state", "the suites are those of its stores"},
	{"internal/build", "internal/plan", "what is built is what a plan decided"},
	{"internal/strictjson", "internal/fault", "a name that is not known is answered with near ones"},
	{"internal/hint", "internal/fault", "a hint that cannot be understood is a fault with its remedy"},
}

// rule keeps an import or a name to the packages that are there for it.
type rule struct {
	what string   // an import path with everything below it, or a name such as fmt.Println
	only []string // packages
	why  string
}

var imports = []rule{
	{"os/exec", []string{"internal/command"}, "quoting, exit codes and cancellation of commands are the same everywhere"},
	{"github.com/go-git", []string{"internal/gitrepo"}, "how a repository is read can change without the planner"},
	{"github.com/docker", []string{"internal/engine/docker"}, "the client has a successor: it is replaced in one place"},
	{"github.com/mark3labs/mcp-go", []string{"internal/mcpserver", "bench/emptyserver", "examples/mcpclient"}, "the SDK moves with the protocol: it is followed in one place"},
	{"github.com/klauspost/compress", []string{"internal/image", "internal/bundle"}, "how archives are unpacked is a matter of reading them"},
	{"filippo.io/age", []string{"internal/bundle"}, "who can open a bundle is a matter of its format"},
	{"github.com/pkg/sftp", []string{"internal/store/sftp"}, "how files get to another machine is a matter of one place"},
	{"github.com/minio", []string{"internal/store/s3"}, "how files get into a bucket is a matter of one place"},
	{"github.com/spf13", []string{"internal/cli"}, "flags are a matter of the command line"},
	{"github.com/invopop", []string{"schemas/gen"}, "at run time schemas are bytes"},
}

var names = []rule{
	{"fmt.Print", []string{"internal/cli"}, "standard output carries results, or the protocol, and nothing else"},
	{"fmt.Printf", []string{"internal/cli"}, "standard output carries results, or the protocol, and nothing else"},
	{"fmt.Println", []string{"internal/cli"}, "standard output carries results, or the protocol, and nothing else"},
	{"os.Stdout", []string{"internal/cli", "cmd/homelab-sidecar", "bench", "bench/service", "examples/mcpclient"}, "standard output carries results, or the protocol, and nothing else"},
	{"print", nil, "a leftover of debugging"},
	{"println", nil, "a leftover of debugging"},
	{"os.Exit", []string{"cmd/homelab", "cmd/homelab-mcp", "cmd/homelab-sidecar", "schemas/gen", "bench", "bench/emptyserver", "bench/service", "examples/mcpclient"}, "only a main function knows that nothing is left to be done"},
	{"log.Fatal", nil, "errors are returned"},
	{"log.Fatalf", nil, "errors are returned"},
	{"log.Print", nil, "a logger is passed in"},
	{"log.Printf", nil, "a logger is passed in"},
	{"log.Println", nil, "a logger is passed in"},
}

// testLibraries may be imported by packages that are for tests, and by tests.
var testLibraries = []string{"testing", "github.com/stretchr", "github.com/rogpeppe", "github.com/santhosh-tekuri"}
