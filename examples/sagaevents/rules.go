package main

// A fact is what has happened to an order.
type fact string

const (
	placed    fact = "placed"
	accepted  fact = "accepted"
	charged   fact = "charged"
	taken     fact = "taken"
	refused   fact = "refused" // by stock
	refunded  fact = "refunded"
	declined  fact = "declined" // by payment
	completed fact = "completed"
	cancelled fact = "cancelled"
)

// An event says that something has happened.
type event struct {
	Order string `json:"order"`
	What  fact   `json:"what"`
	Count int    `json:"count"`
	Why   string `json:"why,omitempty"`
}

// key is the same however often the event comes.
func (e event) key() string { return e.Order + ": " + string(e.What) }

func (e event) String() string {
	if e.Why != "" {
		return string(e.What) + ": " + e.Why
	}
	return string(e.What)
}

// A rule is what a service does when it hears of a fact, and who hears of that.
type rule struct {
	does  func(event) event
	tells map[fact]string // by what came of it; nobody of what ends the order
}

// services are the rules of each: all that is known of the way of an order.
func services() map[string]map[fact]rule {
	return map[string]map[fact]rule{
		"order": {
			placed:   {becomes(accepted), map[fact]string{accepted: "payment"}},
			taken:    {becomes(completed), nil},
			declined: {becomes(cancelled), nil},
			refunded: {becomes(cancelled), nil},
		},
		"payment": {
			accepted: {limited(20, charged, declined, "the card does not have that much"),
				map[fact]string{charged: "stock", declined: "order"}},
			refused: {becomes(refunded), map[fact]string{refunded: "order"}},
		},
		"stock": {
			charged: {limited(5, taken, refused, "so many are not left"),
				map[fact]string{taken: "order", refused: "payment"}},
		},
	}
}

func becomes(what fact) func(event) event {
	return func(e event) event {
		e.What = what
		return e
	}
}

// limited is becomes, and for more than a number the other with a reason.
func limited(most int, what, otherwise fact, why string) func(event) event {
	return func(e event) event {
		if e.What = what; e.Count > most {
			e.What, e.Why = otherwise, why
		}
		return e
	}
}
