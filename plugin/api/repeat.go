package api

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The range of how often a list is looked at.
const (
	minEvery = 100 * time.Millisecond
	maxEvery = time.Hour
)

// interval reads the field every, 0 if it is not there.
func interval(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	every := d.AsDuration()
	if err := d.CheckValid(); err != nil || every < minEvery || every > maxEvery {
		return 0, status.Errorf(codes.InvalidArgument, "every: %v is out of range (%v to %v)", every, minEvery, maxEvery)
	}
	return every, nil
}

// message is a pointer to a generated message.
type message[M any] interface {
	*M
	proto.Message
}

// tell answers a call whose answer is small: once, or again whenever it has
// changed, if every says how often to look.
func tell[M any, P message[M]](s *service, stream grpc.ServerStreamingServer[M], every *durationpb.Duration, get func() *M) error {
	pause, err := interval(every)
	if err != nil {
		return err
	}
	if pause == 0 {
		return stream.Send(get())
	}
	return repeat[M, P](s, stream, pause, get)
}

// repeat sends what get returns, and again whenever that has changed, until the
// caller has enough or the process ends.
func repeat[M any, P message[M]](s *service, stream grpc.ServerStreamingServer[M], every time.Duration, get func() *M) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var told P
	for {
		if now := get(); told == nil || !proto.Equal(told, P(now)) {
			if err := stream.Send(now); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return errEnding
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}
