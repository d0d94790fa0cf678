import type { OwnUserResponse, StreamChat, StreamChatOptions, TokenOrProvider, UserResponse } from "stream-chat";

export declare function useCreateChatClient(options: {
  apiKey: string;
  tokenOrProvider: TokenOrProvider;
  userData: OwnUserResponse | UserResponse;
  options?: StreamChatOptions;
}): StreamChat | null;
