package plan

// Findings is where the hints of a registry and the outputs of its services
// disagree about one change.
type Findings struct {
	OverWide   []OverWide   `json:"overWide" jsonschema_description:"Services that a plan by hints would have rebuilt, though the output is the same."`
	Missing    []Missing    `json:"missing" jsonschema_description:"Services whose output changed, though no hint said so: a plan by hints would have left them out."`
	WholeFlake []WholeFlake `json:"wholeFlake" jsonschema_description:"Services that are built from the flake's whole source: every commit rebuilds them, whatever the hints say."`
	Patch      *Patch       `json:"patch,omitempty" jsonschema_description:"The hints to add to the registry, ready to be applied; left out when there are none with evidence."`
}

// OverWide is a service that a plan by hints would have built for nothing.
type OverWide struct {
	Service string   `json:"service" jsonschema_description:"The service."`
	Hints   []string `json:"hints" jsonschema_description:"The hints, global hints and inputs that said changed; the first of them. Empty where only dependencies did."`
	Paths   []Path   `json:"paths" jsonschema_description:"The changed paths under them; the first of them."`
	Count   int      `json:"count" jsonschema_description:"How many changes under its hints there are."`
	Via     []string `json:"via,omitempty" jsonschema_description:"The services it depends on that changed, where no hint of its own said so: it would have been rebuilt only because of its dependsOn, which is no wrong hint."`
}

// Missing is a service that a plan by hints would have left out.
type Missing struct {
	Service     string   `json:"service" jsonschema_description:"The service."`
	Causes      []Path   `json:"causes" jsonschema_description:"Repository paths that changed and that its derivation is certainly made from: their content is that of one of its sources. . is the whole repository."`
	Candidates  []Path   `json:"candidates" jsonschema_description:"Where no cause is certain: changed paths with the content of one of its sources; when there are none of these either, all changed paths, of which none may matter. The first of them."`
	Count       int      `json:"count" jsonschema_description:"How many candidates there are."`
	SameSources bool     `json:"sameSources,omitempty" jsonschema_description:"Its derivation is made from the same sources as before: Nix code changed it, or it has the flake's revision or time in it (self.rev, self.lastModified), which every commit changes and no hint can follow."`
	Excluded    bool     `json:"excluded,omitempty" jsonschema_description:"An exclude pattern of the service takes a cause out: drop or narrow the pattern."`
	Hints       []string `json:"hints" jsonschema_description:"Hints to add: the causes; the folder of one whose name is not UTF-8. A candidate is none."`
}

// WholeFlake is a service that is built from everything.
type WholeFlake struct {
	Service string `json:"service" jsonschema_description:"The service."`
	System  string `json:"system" jsonschema_description:"Nix system of the target."`
	Attr    string `json:"attr" jsonschema_description:"Flake attribute of the target."`
	Source  string `json:"source" jsonschema_description:"Store path of the source that equals the whole flake."`
}

// Patch adds hints to the registry.
type Patch struct {
	Format string `json:"format" jsonschema:"enum=diff,enum=nix" jsonschema_description:"diff: for git apply, at the root of the repository. nix: lines to merge into the registry by hand."`
	Text   string `json:"text" jsonschema_description:"The patch."`
}

// MissingAttribute is a target that the flake does not have.
type MissingAttribute struct {
	Service string `json:"service" jsonschema_description:"The service."`
	System  string `json:"system" jsonschema_description:"Nix system of the target."`
	Attr    string `json:"attr" jsonschema_description:"Flake attribute, which does not exist."`
	Hint    string `json:"hint" jsonschema_description:"What to do, with near names."`
}
